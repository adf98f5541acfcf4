// gemm_avx512.c - matrix product on panels of 16 columns, two panels at a time: 14 rows by 2 vectors of 16 in registers.
// SPDX-License-Identifier: Apache-2.0
#include "x86.h"

enum { ROWS = GEMM_F32_ROWS_AVX512 };

#include "gemm.h"

INLINE void tile_of(const tody_gemm_f32 *g, const uint32_t vectors) {
    switch (g->rows) {
        case 1: tile(g, 1, vectors); break;
        case 2: tile(g, 2, vectors); break;
        case 3: tile(g, 3, vectors); break;
        case 4: tile(g, 4, vectors); break;
        case 5: tile(g, 5, vectors); break;
        case 6: tile(g, 6, vectors); break;
        case 7: tile(g, 7, vectors); break;
        case 8: tile(g, 8, vectors); break;
        case 9: tile(g, 9, vectors); break;
        case 10: tile(g, 10, vectors); break;
        case 11: tile(g, 11, vectors); break;
        case 12: tile(g, 12, vectors); break;
        case 13: tile(g, 13, vectors); break;
        default: tile(g, ROWS, vectors); break;
    }
}

void tody_gemm_f32_avx512(const tody_gemm_f32 *args) {
    if (args->cols > WIDTH)
        tile_of(args, 2);
    else
        tile_of(args, 1);
}
