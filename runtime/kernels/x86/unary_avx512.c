// unary_avx512.c - unary.h for AVX-512.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

enum { TOGETHER = 1 };

// behind the vectors that it is written in
#include "kernels/unary.h"

void tody_unary_f32_avx512(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
    unary_f32(fn, a, b, x, y, count);
}
