// gemm_avx2.c - matrix product on panels of 16 columns: 6 rows by 2 vectors of 8 in registers, or 8 rows by one.
// SPDX-License-Identifier: Apache-2.0
#include "x86.h"

enum { ROWS = GEMM_F32_NARROW_AVX2 };

#include "gemm.h"

INLINE void tile_of(const tody_gemm_f32 *g, const uint32_t vectors) {
    switch (g->rows) {
        case 1: tile(g, 1, vectors); break;
        case 2: tile(g, 2, vectors); break;
        case 3: tile(g, 3, vectors); break;
        case 4: tile(g, 4, vectors); break;
        case 5: tile(g, 5, vectors); break;
        default: tile(g, GEMM_F32_ROWS_AVX2, vectors); break;
    }
}

void tody_gemm_f32_avx2(const tody_gemm_f32 *args) {
    if (args->cols > WIDTH)
        tile_of(args, 2);
    else if (args->rows == ROWS)
        tile(args, ROWS, 1);
    else if (args->rows == ROWS - 1)
        tile(args, ROWS - 1, 1);
    else
        tile_of(args, 1);
}
