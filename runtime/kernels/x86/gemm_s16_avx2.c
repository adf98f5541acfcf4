// gemm_s16_avx2.c - int16 matrix product: 6 rows by a panel.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s16_avx2.h"

enum { TILE = 6 };

static inline integers dot(integers sum, integers u, integers w) { return add_s32(sum, _mm256_madd_epi16(u, w)); }

#include "gemm_s16.h"

void tody_gemm_s16_avx2(const tody_gemm_s16 *args) {
    sums s[TILE];
    if (args->cols > COLUMNS / 2 || args->rows < TILE)
        tile_by_rows(args, true, s);
    else
        tile_of(args, args->a, TILE, false, s);  // models of few channels often have 24, or 40
    finish_rows(args, s);
}
