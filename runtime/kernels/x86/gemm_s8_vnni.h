// gemm_s8_vnni.h - tiles of TILE rows by the columns of `sums`, by dot products of four.
// SPDX-License-Identifier: Apache-2.0
//
// vpdpbusd multiplies unsigned by signed bytes, so packing adds 128, which is exact.
#ifndef TODY_X86_GEMM_S8_VNNI_H
#define TODY_X86_GEMM_S8_VNNI_H

#include "gemm_s8_bytes.h"

// `rows` and `both`, whether there is a second panel, are constants after inlining. Rows stand in threes behind a pointer each.
INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, const bool both, sums *out) {
    const size_t stride = g->packed_stride;
    const int8_t *x[4] = {a, a + 3 * stride, a + 6 * stride, a + 9 * stride}, *w = c->w;
    sums s[TILE];
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) s[i] = (sums){all_s32(0), all_s32(0)};
    for (uint32_t l = 0; l < g->lines; l++) {
        for (const int8_t *end = w + c->line * 16; w < end; w += 64) {
            const sums v = load_weights(w, c->w_stride, both);
#pragma GCC unroll 12
            for (uint32_t i = 0; i < rows; i++) {
                const integers u = four(x[i / 3] + i % 3 * stride);
                s[i].low = dot(s[i].low, u, v.low);
                if (both) s[i].high = dot(s[i].high, u, v.high);
            }
#pragma GCC unroll 4
            for (uint32_t i = 0; i < (rows + 2) / 3; i++) x[i] += 4;
        }
#pragma GCC unroll 4
        for (uint32_t i = 0; i < (rows + 2) / 3; i++) x[i] += g->line_stride - c->line;
    }
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) out[i] = s[i];  // so that only a copy must be in memory
}

#endif
