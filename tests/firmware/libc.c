// libc.c - what boards/common/libc does in integers, against this computer, over all floats by a prime step.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { STEP = 211 };

float chip_sqrtf(float x);
int64_t chip_fix(float x);

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

int main(void) {
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STEP) {
        if (!wrong(float_of(bits))) continue;
        printf("%a\n", (double)float_of(bits));
        return 1;
    }
    return 0;
}
