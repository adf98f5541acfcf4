// row_avx512.c - row.h for AVX-512.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/row.h"

void tody_softmax_f32_avx512(const float *x, float *y, size_t count) { softmax_f32(x, y, count); }

void tody_moments_f32_avx512(const float *x, size_t count, float mean, float sums[2]) { moments_f32(x, count, mean, sums); }
