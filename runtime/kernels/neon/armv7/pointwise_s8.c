// pointwise_s8.c - the portable int8 element by element, vectorised for NEON: exact although subnormal numbers are 0, which
// they round to.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_binary_s8 tody_binary_s8_neon
#include "../../portable/pointwise_s8.c"
