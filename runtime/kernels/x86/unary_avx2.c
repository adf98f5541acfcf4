// unary_avx2.c - the portable unary, compiled for AVX2: the same operations in the same order, and so the same bits.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_unary_f32 tody_unary_f32_avx2
#include "../portable/unary.c"
