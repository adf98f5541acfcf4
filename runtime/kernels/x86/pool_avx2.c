// pool_avx2.c - the portable pooling, compiled for AVX2: the same operations in the same order, and so the same bits.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_max_pool_f32 tody_max_pool_f32_avx2
#define tody_portable_sum_pool_f32 tody_sum_pool_f32_avx2
#include "../portable/pool.c"
