// pool_s8.c - the portable sum and largest of rows of int8, vectorised for NEON.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_sum_s8 tody_sum_s8_neon
#define tody_portable_max_s8 tody_max_s8_neon
#include "../../portable/pool_s8.c"
