// dwconv_avx512.c - dwconv.h for AVX-512.
// SPDX-License-Identifier: Apache-2.0
enum { VECTORS = 2, GROUP = 128 };

#include "dwconv.h"

void tody_dwconv_f32_avx512(const tody_dwconv_f32 *args) { dwconv_f32(args); }
