// gemm_s8_avx512vnni.c - int8 matrix product with AVX-512 dot products: 12 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
#include "pack_s8_avx512.h"
#include "vector_s8_avx512.h"

enum { TILE = 12, SHIFT = 128 };

static inline integers dot(integers sum, integers u, integers w) { return _mm512_dpbusd_epi32(sum, u, w); }

#include "gemm_s8_vnni.h"

// An even number of rows, or one, is enough of a choice.
INLINE void tile_by_rows(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, const bool both, sums *s) {
    switch ((rows + 1) / 2) {
        case 1: rows == 1 ? tile_of(g, c, a, 1, both, s) : tile_of(g, c, a, 2, both, s); break;
        case 2: tile_of(g, c, a, 4, both, s); break;
        case 3: tile_of(g, c, a, 6, both, s); break;
        case 4: tile_of(g, c, a, 8, both, s); break;
        case 5: tile_of(g, c, a, 10, both, s); break;
        default: tile_of(g, c, a, TILE, both, s); break;
    }
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    if (c->count > 16)
        tile_by_rows(g, c, a, rows, true, s);
    else
        tile_by_rows(g, c, a, rows, false, s);
}

void tody_gemm_s8_avx512vnni(const tody_gemm_s8 *args) {
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        const columns c = columns_of(args, column);
        run_rows(args, &c, tile);
    }
}

void tody_pack_s8_avx512vnni(const tody_pack_s8 *args) { pack_rows(args, 0x80); }
