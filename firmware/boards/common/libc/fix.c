// fix.c - float to int64 and back: libgcc does the first in double precision and has the second beside additions, whose
// arithmetic would take 2 KB.
// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <string.h>

#ifdef __ARM_EABI__
#define TO_INTEGER __aeabi_f2lz
#define TO_FLOAT __aeabi_l2f
__attribute__((pcs("aapcs"))) int64_t TO_INTEGER(float x);
__attribute__((pcs("aapcs"))) float TO_FLOAT(int64_t x);
#else
#define TO_INTEGER __fixsfdi
#define TO_FLOAT __floatdisf
int64_t TO_INTEGER(float x);
float TO_FLOAT(int64_t x);
#endif

// Towards zero. What does not fit is undefined in C; here it saturates.
int64_t TO_INTEGER(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFF) - 150;  // x is mantissa * 2^exponent
    const uint64_t mantissa = (bits & 0x7FFFFF) | 0x800000;
    uint64_t value;
    if (exponent >= 40) return bits >> 31 ? INT64_MIN : INT64_MAX;
    if (exponent <= -24) return 0;
    value = exponent < 0 ? mantissa >> -exponent : mantissa << exponent;
    return bits >> 31 ? -(int64_t)value : (int64_t)value;
}

static float power_of_2(uint32_t n) {
    const uint32_t bits = (127 + n) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The upper 32 bits that count, the last of which says whether there were more, are rounded as a float has them; what is
// beyond the last one of a float cannot matter but so. Weak: ARMv7-M without a floating-point unit needs libgcc's additions,
// and has its form with them.
__attribute__((weak)) float TO_FLOAT(int64_t x) {
    uint64_t m = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    uint32_t shift = 0;
    for (; m >> 32; shift++) m = m >> 1 | (m & 1);
    const float magnitude = (float)(uint32_t)m * power_of_2(shift);
    return x < 0 ? -magnitude : magnitude;
}
