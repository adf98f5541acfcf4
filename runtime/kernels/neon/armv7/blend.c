// blend.c - the portable blend, vectorised for NEON, which treats subnormal numbers as zero: flags in CMakeLists.txt.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_blend_f32 tody_blend_f32_neon
#include "../../portable/blend.c"
