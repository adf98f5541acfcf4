// pool.c - the portable pooling, vectorised for NEON, which treats subnormal numbers as zero: flags in CMakeLists.txt.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_max_pool_f32 tody_max_pool_f32_neon
#define tody_portable_sum_pool_f32 tody_sum_pool_f32_neon
#include "../../portable/pool.c"
