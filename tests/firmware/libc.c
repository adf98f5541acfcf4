// libc.c - what boards/common/libc does in integers, against this computer, over all floats by a prime step.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { STEP = 211, SPARSE = 61 };

float chip_sqrtf(float x);
int64_t chip_fix(float x);
float chip_float(int64_t x);

static float float_of(uint64_t bits) {
    const uint32_t word = (uint32_t)bits;
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

static int wrong(float x) {
    const float root = sqrtf(x), here = chip_sqrtf(x);
    if (isnan(root) ? !isnan(here) : memcmp(&root, &here, sizeof root) != 0) return 1;
    return x > -0x1p63f && x < 0x1p63f && chip_fix(x) != (int64_t)x;
}

// Integers of all lengths, some of them half way between two floats, and their neighbours.
static int wrong_integer(uint64_t bits) {
    for (uint32_t shift = 1; shift < 64; shift++) {
        const int64_t x = (int64_t)(bits << 32) >> shift;
        for (int64_t near = x; near < x + 3; near++) {
            if (chip_float(near - 1) != (float)(near - 1)) return 1;
        }
    }
    return 0;
}

int main(void) {
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STEP) {
        if (!wrong(float_of(bits)) && (bits % SPARSE || !wrong_integer(bits))) continue;
        printf("%a\n", (double)float_of(bits));
        return 1;
    }
    return 0;
}
