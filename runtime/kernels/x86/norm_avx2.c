// norm_avx2.c - norm.h for AVX2.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/norm.h"

void tody_column_moments_f32_avx2(const tody_columns_f32 *args) { column_moments_f32(args); }
void tody_norm_f32_avx2(const tody_norm_f32 *args) { norm_f32(args); }
