// binary_avx512.c - binary.h for AVX-512.
// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

void tody_binary_f32_avx512(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                            float lo, float hi) {
    binary_f32(fn2, x, x_step, y, y_step, z, count, lo, hi);
}
