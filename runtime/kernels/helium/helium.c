// helium.c - the kernel set of microcontrollers with vectors. What it leaves out is portable.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)

const tody_kernels tody_kernels_helium = {
    .name = "helium",
    .gemm_s8_rows = TODY_GEMM_ROWS_HELIUM,
    .gemm_s8_panels = 8,
    .gemm_s8 = tody_gemm_s8_helium,
    .dwconv_s8_rows = 8,
    .dwconv_s8 = tody_dwconv_s8_helium,
    .binary_s8 = tody_binary_s8_helium,
    .sum_s8 = tody_sum_s8_helium,
    .max_s8 = tody_max_s8_helium,
    .sparse_s8_rows = TODY_SPARSE_ROWS_HELIUM,
    .words_s8 = tody_words_s8_helium,
    .sparse_s8 = tody_sparse_s8_helium,
};

#endif
