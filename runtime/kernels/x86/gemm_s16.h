// gemm_s16.h - int16 matrix product: tiles of up to TILE rows by the columns of `sums`, by products of pairs.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has a vector_s8_*.h; TILE; `dot`, which adds products of two neighbours to int32 sums; and finish_s16.
#ifndef TODY_X86_GEMM_S16_H
#define TODY_X86_GEMM_S16_H

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

// Two values of depth side by side, or one and a zero.
INLINE integers pair(const int16_t *x) {
    int32_t both;
    memcpy(&both, x, sizeof both);
    return all_s32(both);
}

INLINE integers single(const int16_t *x) { return all_s32((uint16_t)*x); }

// `rows` and `both`, whether there is a second panel, are constants after inlining.
INLINE void tile_of(const tody_gemm_s16 *g, const int16_t *const *a, const uint32_t rows, const bool both, sums *out) {
    const int8_t *w = (const int8_t *)g->w;
    const size_t stride = g->w_stride * sizeof *g->w, even = g->depth & ~(size_t)1;
    sums s[TILE];
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) s[i] = (sums){all_s32(0), all_s32(0)};
    for (uint32_t t = 0; t < g->taps; t++, a += g->rows) {
        const int16_t *x[TILE];
#pragma GCC unroll 12
        for (uint32_t i = 0; i < rows; i++) x[i] = a[i < g->rows ? i : g->rows - 1];
        for (size_t k = 0; k < even; k += 2, w += 64) {
            const sums v = load_weights(w, stride, both);
#pragma GCC unroll 12
            for (uint32_t i = 0; i < rows; i++) {
                const integers u = pair(x[i] + k);
                s[i].low = dot(s[i].low, u, v.low);
                if (both) s[i].high = dot(s[i].high, u, v.high);
            }
        }
        if (even == g->depth) continue;
        const sums v = load_weights(w, stride, both);
        w += 64;
#pragma GCC unroll 12
        for (uint32_t i = 0; i < rows; i++) {
            const integers u = single(x[i] + even);
            s[i].low = dot(s[i].low, u, v.low);
            if (both) s[i].high = dot(s[i].high, u, v.high);
        }
    }
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) out[i] = s[i];  // so that only a copy must be in memory
}

// An even number of rows, or one, is enough of a choice: a row that is missing is that before.
INLINE void tile_by_rows(const tody_gemm_s16 *g, const bool both, sums *s) {
    switch ((g->rows + 1) / 2) {
        case 1: g->rows == 1 ? tile_of(g, g->a, 1, both, s) : tile_of(g, g->a, 2, both, s); break;
        case 2: tile_of(g, g->a, 4, both, s); break;
        default: tile_of(g, g->a, TILE, both, s); break;
    }
}

INLINE void finish_rows(const tody_gemm_s16 *g, const sums *s) {
    const tody_layer_s8 layer = g->layer;
    const uint32_t panels = (g->cols + 15) / 16 * 16;
    const sums start = bias_s8(g->bias, panels);
    const factors f = factors_s8(g->scale, panels, &g->layer);
    for (uint32_t i = 0; i < g->rows; i++) {
        const sums all = {add_s32(s[i].low, start.low), add_s32(s[i].high, start.high)};
        finish_s16(g->c + i * g->c_stride, g->cols, all, &f, g->addend ? g->addend + i * g->addend_stride : NULL, &layer);
    }
}

#endif
