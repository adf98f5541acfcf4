// dwconv_avx2.c - dwconv.h for AVX2.
// SPDX-License-Identifier: Apache-2.0
enum { VECTORS = 1, GROUP = 64 };

#include "dwconv.h"

void tody_dwconv_f32_avx2(const tody_dwconv_f32 *args) { dwconv_f32(args); }
