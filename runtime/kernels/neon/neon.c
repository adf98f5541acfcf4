// neon.c - the NEON kernel set. What compilers vectorise for AArch64 by themselves stays portable there.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

#if defined(__aarch64__)
const tody_kernels tody_kernels_neon = {
    .name = "neon",
    .needs = TODY_CPU_NEON,
    .gemm_s8_rows = GEMM_S8_ROWS,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8 = tody_gemm_s8_neon,
    .pack_s8 = tody_pack_s8_neon,
    .dwconv_s8 = tody_dwconv_s8_neon,
    .lut_s8 = tody_lut_s8_neon,
    .gemm_f32_rows = GEMM_ROWS,
    .gemm_f32_panels = 1,
    .gemm_f32 = tody_gemm_f32_neon,
    .pack_f32 = tody_pack_f32_neon,
    .dwconv_f32_strip = DWCONV_STRIP,
    .dwconv_f32 = tody_dwconv_f32_neon,
    .winograd_bytes = 1 << 18,
    .winograd_in_f32 = tody_winograd_in_f32_neon,
    .winograd_out_f32 = tody_winograd_out_f32_neon,
    .unary_f32 = tody_unary_f32_neon,
    .softmax_f32 = tody_softmax_f32_neon,
    .moments_f32 = tody_moments_f32_neon,
};
#else
const tody_kernels tody_kernels_neon = {
    .name = "neon",
    .needs = TODY_CPU_NEON,
    .gemm_s8_rows = GEMM_S8_ROWS,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8 = tody_gemm_s8_neon,
    .pack_s8 = tody_pack_s8_neon,
    .dwconv_s8 = tody_dwconv_s8_neon,
    .binary_s8 = tody_binary_s8_neon,
    .sum_s8 = tody_sum_s8_neon,
    .max_s8 = tody_max_s8_neon,
    .gemm_f32_rows = GEMM_ROWS,
    .gemm_f32_panels = 1,
    .gemm_f32 = tody_gemm_f32_neon,
    .pack_f32 = tody_pack_f32_neon,
    .dwconv_f32_strip = DWCONV_STRIP,
    .dwconv_f32 = tody_dwconv_f32_neon,
    .winograd_bytes = 1 << 18,
    .winograd_in_f32 = tody_winograd_in_f32_neon,
    .winograd_out_f32 = tody_winograd_out_f32_neon,
    .max_pool_f32 = tody_max_pool_f32_neon,
    .sum_pool_f32 = tody_sum_pool_f32_neon,
    .unary_f32 = tody_unary_f32_neon,
    .binary_f32 = tody_binary_f32_neon,
    .blend_f32 = tody_blend_f32_neon,
};
#endif
