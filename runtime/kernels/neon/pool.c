// pool.c - pool.h for NEON.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/pool.h"

void tody_max_pool_f32_neon(const tody_pool_f32 *args) { max_pool_f32(args); }
void tody_sum_pool_f32_neon(const tody_pool_f32 *args) { sum_pool_f32(args); }
