// pointwise_s8_avx2.c - the portable int8 element by element, vectorised for AVX2.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_binary_s8 tody_binary_s8_avx2
#include "../portable/pointwise_s8.c"
