// gemm_s8_avxvnni.c - int8 matrix product with the dot products of 256 bits: 6 rows by a panel.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { TILE = 6, SHIFT = 128 };

static inline integers dot(integers sum, integers u, integers w) { return _mm256_dpbusd_avx_epi32(sum, u, w); }

#include "gemm_s8_vnni.h"

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    switch (rows) {
        case 1: tile_of(g, c, a, 1, true, s); break;
        case 2: tile_of(g, c, a, 2, true, s); break;
        case 3: tile_of(g, c, a, 3, true, s); break;
        case 4: tile_of(g, c, a, 4, true, s); break;
        case 5: tile_of(g, c, a, 5, true, s); break;
        default: tile_of(g, c, a, TILE, true, s); break;
    }
}

void tody_gemm_s8_avxvnni(const tody_gemm_s8 *args) {
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        const columns c = columns_of(args, column);
        run_rows(args, &c, tile);
    }
}
