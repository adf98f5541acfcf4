// binary.c - the portable binary, vectorised for NEON, which treats subnormal numbers as zero: flags in CMakeLists.txt.
// SPDX-License-Identifier: Apache-2.0
#define tody_portable_binary_f32 tody_binary_f32_neon
#include "../../portable/binary.c"
