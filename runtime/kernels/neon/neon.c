// neon.c - the NEON kernel set. What compilers vectorise well for AArch64 stays portable.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

const tody_kernels tody_kernels_neon = {
    .name = "neon",
    .needs = TODY_CPU_NEON,
    .gemm_f32_rows = GEMM_ROWS,
    .gemm_f32 = tody_gemm_f32_neon,
    .dwconv_f32 = tody_dwconv_f32_neon,
};
