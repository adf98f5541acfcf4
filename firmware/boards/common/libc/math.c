// math.c - the square root of a float, correctly rounded, by integers.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdint.h>
#include <string.h>

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// The root of m * 2^(e - 23), m with 24 bits. It is shifted so that the exponent is even and the integer root has 24 bits and
// one more, which together with the remainder says how to round; a root is never half way between two floats.
static float root(uint32_t m, int32_t e) {
    const uint64_t square = (uint64_t)m << (e & 1 ? 26 : 25);
    uint64_t r = 0;
    for (uint64_t bit = 1ull << 25; bit; bit >>= 1) {
        if ((r | bit) * (r | bit) <= square) r |= bit;
    }
    const uint32_t rounded = (uint32_t)((r + 1) >> 1);
    const uint32_t bits = ((uint32_t)((e & ~1) / 2 + 126) << 23) + rounded;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

float sqrtf(float x) {
    uint32_t m = bits_of(x) & 0x7FFFFF;
    int32_t e = (int32_t)(bits_of(x) >> 23 & 0xFF);
    if (x < 0.0f) return __builtin_nanf("");
    if (x == 0.0f || e == 0xFF) return x;
    if (e) return root(m | 0x800000, e - 127);
    for (e = 1; m < 0x800000; m <<= 1) e--;  // subnormal
    return root(m, e - 127);
}
