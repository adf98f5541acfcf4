// blend_avx2.c - the portable blend, compiled for AVX2: the same operations in the same order, and so the same bits.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_blend_f32 tody_blend_f32_avx2
#include "../portable/blend.c"
