// unary.c - unary.h for AArch64. ARMv7, which does not divide vectors, has its own.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#if defined(__aarch64__)

enum { TOGETHER = 4 };

// behind the vectors that it is written in
#include "kernels/unary.h"

void tody_unary_f32_neon(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
    unary_f32(fn, a, b, x, y, count);
}

#endif
