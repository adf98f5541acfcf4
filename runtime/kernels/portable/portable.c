// portable.c - the portable kernel set: complete, runs everywhere, and is the definition the others are judged by.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

const tody_kernels tody_kernels_portable = {
    .name = "portable",
    .gemm_f32_rows = 4,
    .gemm_f32_panels = 1,
    .gemm_f32 = tody_portable_gemm_f32,
    .dwconv_f32_strip = 1,
    .dwconv_f32 = tody_portable_dwconv_f32,
    .max_pool_f32 = tody_portable_max_pool_f32,
    .sum_pool_f32 = tody_portable_sum_pool_f32,
    .unary_f32 = tody_portable_unary_f32,
    .binary_f32 = tody_portable_binary_f32,
    .softmax_f32 = tody_portable_softmax_f32,
    .blend_f32 = tody_portable_blend_f32,
    .transpose_b32 = tody_portable_transpose_b32,
    .moments_f32 = tody_portable_moments_f32,
    .gemm_s8_rows = 4,
    .gemm_s8_panels = 1,
    .gemm_s8 = tody_portable_gemm_s8,
    .dwconv_s8 = tody_portable_dwconv_s8,
    .binary_s8 = tody_portable_binary_s8,
    .lut_s8 = tody_portable_lut_s8,
    .sum_s8 = tody_portable_sum_s8,
    .max_s8 = tody_portable_max_s8,
    .sparse_s8_rows = 16,
    .sparse_s8_shift = 0,
    .words_s8 = tody_portable_words_s8,
    .sparse_s8 = tody_portable_sparse_s8,
};
