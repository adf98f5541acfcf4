// cortexm.c - the kernel set of microcontrollers with 16-bit products. What it leaves out is portable.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)

const tody_kernels tody_kernels_cortexm = {
    .name = "dsp",
    .gemm_s8_rows = 12,
    .gemm_s8_panels = 8,
    .gemm_s8 = tody_gemm_s8_dsp,
    .dwconv_s8_rows = TODY_MAX_DWCONV_ROWS,
    .dwconv_s8 = tody_dwconv_s8_dsp,
    .sparse_s8_rows = 4,
    .words_s8 = tody_words_s8_dsp,
    .sparse_s8 = tody_sparse_s8_dsp,
};

#endif
