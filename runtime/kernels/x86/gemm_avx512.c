// gemm_avx512.c - matrix product on panels of 16 columns, two panels at a time: 14 rows by 2 vectors of 16 in registers.
// SPDX-License-Identifier: Apache-2.0
#include "x86.h"

enum { ROWS = GEMM_F32_ROWS_AVX512, NARROW = ROWS, STEPS = 2 };

#include "gemm.h"

INLINE void tiles_of(const tody_gemm_f32 *g, const uint32_t vectors) {
    place at = {g->a, g->next, g->addend, g->c};
    for (uint32_t left = g->more + 1; left > 0; left--) {
        switch (g->rows) {
            case 1: tile(g, &at, 1, 1, vectors); break;
            case 2: tile(g, &at, 1, 2, vectors); break;
            case 3: tile(g, &at, 1, 3, vectors); break;
            case 4: tile(g, &at, 1, 4, vectors); break;
            case 5: tile(g, &at, 1, 5, vectors); break;
            case 6: tile(g, &at, 1, 6, vectors); break;
            case 7: tile(g, &at, 1, 7, vectors); break;
            case 8: tile(g, &at, 1, 8, vectors); break;
            case 9: tile(g, &at, 1, 9, vectors); break;
            case 10: tile(g, &at, 1, 10, vectors); break;
            case 11: tile(g, &at, 1, 11, vectors); break;
            case 12: tile(g, &at, 1, 12, vectors); break;
            case 13: tile(g, &at, 1, 13, vectors); break;
            default: tile(g, &at, 1, ROWS, vectors); break;
        }
    }
}

void tody_gemm_f32_avx512(const tody_gemm_f32 *args) {
    if (args->cols > WIDTH)
        tiles_of(args, 2);
    else
        tiles_of(args, 1);
}
