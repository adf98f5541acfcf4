// gemm_avx2.c - matrix product on panels of 16 columns: 6 rows by 2 vectors of 8 in registers, or 12 rows by one.
// SPDX-License-Identifier: Apache-2.0
#include "x86.h"

enum { ROWS = GEMM_F32_ROWS_AVX2, NARROW = 2 * ROWS, STEPS = 4 };

#include "gemm.h"

INLINE void tiles_of(const tody_gemm_f32 *g, const uint32_t vectors) {
    place at = {g->a, g->next, g->addend, g->c};
    uint32_t left = g->more + 1;
    if (vectors == 1 && g->rows == ROWS) {
        for (; left > 1; left -= 2) tile(g, &at, 2, ROWS, 1);
    }
    for (; left > 0; left--) {
        switch (g->rows) {
            case 1: tile(g, &at, 1, 1, vectors); break;
            case 2: tile(g, &at, 1, 2, vectors); break;
            case 3: tile(g, &at, 1, 3, vectors); break;
            case 4: tile(g, &at, 1, 4, vectors); break;
            case 5: tile(g, &at, 1, 5, vectors); break;
            default: tile(g, &at, 1, ROWS, vectors); break;
        }
    }
}

void tody_gemm_f32_avx2(const tody_gemm_f32 *args) {
    if (args->cols > WIDTH)
        tiles_of(args, 2);
    else
        tiles_of(args, 1);
}
