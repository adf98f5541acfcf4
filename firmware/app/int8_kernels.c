// int8_kernels.c - takes the place of runtime/kernels/portable/portable.c in builds with FLOAT=0: no arithmetic in float32
// but softmax, which int8 models end with. tody_app_load refuses models that would need more.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/portable/portable.h"

// The Makefile asks for them where an operator calls them: NULL in builds without.
#pragma weak tody_portable_binary_s8
#pragma weak tody_portable_lut_s8

const tody_kernels tody_kernels_portable = {
    .name = "portable",
    .dwconv_f32_strip = 1,  // read before a model is refused
    .softmax_f32 = tody_portable_softmax_f32,
    .transpose_b32 = tody_portable_transpose_b32,
    .gemm_s8_rows = 12,
    .gemm_s8_panels = 1,
    .gemm_s8 = tody_portable_gemm_s8,
    .dwconv_s8 = tody_portable_dwconv_s8,
    .binary_s8 = tody_portable_binary_s8,
    .lut_s8 = tody_portable_lut_s8,
    .sum_s8 = tody_portable_sum_s8,
    .max_s8 = tody_portable_max_s8,
    .sparse_s8_rows = 4,
    .sparse_s8_shift = 0,
    .words_s8 = tody_portable_words_s8,
    .sparse_s8 = tody_portable_sparse_s8,
};
