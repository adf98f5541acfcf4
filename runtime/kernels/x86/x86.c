// x86.c - the AVX2 and AVX-512 kernel sets, and those with dot products or tiles of int8.
// SPDX-License-Identifier: Apache-2.0
#include "x86.h"

const tody_kernels tody_kernels_avx2 = {
    .name = "avx2",
    .needs = TODY_CPU_AVX2,
    .gemm_f32_rows = 6,
    .gemm_f32_panels = 1,
    .gemm_f32 = tody_gemm_f32_avx2,
    .dwconv_f32_strip = 8,
    .dwconv_f32 = tody_dwconv_f32_avx2,
    .winograd_bytes = 1 << 19,
    .winograd_in_f32 = tody_winograd_in_f32_avx2,
    .winograd_out_f32 = tody_winograd_out_f32_avx2,
    .max_pool_f32 = tody_max_pool_f32_avx2,
    .sum_pool_f32 = tody_sum_pool_f32_avx2,
    .unary_f32 = tody_unary_f32_avx2,
    .binary_f32 = tody_binary_f32_avx2,
    .softmax_f32 = tody_softmax_f32_avx2,
    .blend_f32 = tody_blend_f32_avx2,
    .moments_f32 = tody_moments_f32_avx2,
    .gemm_s8_rows = 6,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 2,
    .gemm_s8 = tody_gemm_s8_avx2,
    .pack_s8 = tody_pack_s8_avx2,
    .dwconv_s8 = tody_dwconv_s8_avx2,
    .binary_s8 = tody_binary_s8_avx2,
    .sparse_s8_rows = 32,
    .sparse_s8_shift = 0,
    .words_s8 = tody_words_s8_avx2,
    .sparse_s8 = tody_sparse_s8_avx2,
};

const tody_kernels tody_kernels_avx512 = {
    .name = "avx512",
    .needs = TODY_CPU_AVX512,
    .gemm_f32_rows = 12,
    .gemm_f32_panels = 2,
    .gemm_f32 = tody_gemm_f32_avx512,
    .dwconv_f32_strip = 8,
    .dwconv_f32 = tody_dwconv_f32_avx512,
    .winograd_bytes = 1 << 20,
    .winograd_in_f32 = tody_winograd_in_f32_avx512,
    .winograd_out_f32 = tody_winograd_out_f32_avx512,
    .unary_f32 = tody_unary_f32_avx512,
    .binary_f32 = tody_binary_f32_avx512,
};

const tody_kernels tody_kernels_avxvnni = {
    .name = "avxvnni",
    .needs = TODY_CPU_AVX2 | TODY_CPU_AVX_VNNI,
    .gemm_s8_rows = 6,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8 = tody_gemm_s8_avxvnni,
    .pack_s8 = tody_pack_s8_avxvnni,
    .sparse_s8_rows = 32,
    .sparse_s8_shift = 128,
    .words_s8 = tody_words_s8_avxvnni,
    .sparse_s8 = tody_sparse_s8_avxvnni,
};

const tody_kernels tody_kernels_avx512vnni = {
    .name = "avx512vnni",
    .needs = TODY_CPU_AVX512 | TODY_CPU_AVX512_VNNI,
    .gemm_s8_rows = 12,
    .gemm_s8_panels = 2,
    .gemm_s8_bytes = 1,
    .gemm_s8 = tody_gemm_s8_avx512vnni,
    .pack_s8 = tody_pack_s8_avx512vnni,
    .dwconv_s8 = tody_dwconv_s8_avx512vnni,
    .lut_s8 = tody_lut_s8_avx512vnni,
    .sparse_s8_rows = 64,
    .sparse_s8_shift = 128,
    .words_s8 = tody_words_s8_avx512vnni,
    .sparse_s8 = tody_sparse_s8_avx512vnni,
};

const tody_kernels tody_kernels_amx = {
    .name = "amx",
    .needs = TODY_CPU_AVX512 | TODY_CPU_AVX512_VNNI | TODY_CPU_AMX,
    .gemm_s8_rows = 16,
    .gemm_s8_panels = 2,
    .gemm_s8_bytes = 1,
    .gemm_s8 = tody_gemm_s8_amx,
    .pack_s8 = tody_pack_s8_amx,
};
