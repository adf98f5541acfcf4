// gemm_s8.c - int8 rows times panels by Helium: sixteen values of depth at a time, of four rows and a column.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "kernels/cortexm/cortexm.h"
#include "kernels/sums_s8.h"

enum { ROWS = 4, LEAST_DEPTH = 8, GROUP_BYTES = 4 * TODY_PANEL_F32 };  // shallower rows leave most of a vector empty

// Of four rows, of which `there` exist; the others are the last one again.
typedef struct tile {
    uint32_t first, there;
    uint32_t row[ROWS];
    int32_t start[ROWS];  // what the sums of each row begin with, for w_zero
} tile;

// Of a column: the sums of its products with each row, and of its weights.
typedef struct sums {
    int32_t a, b, c, d, weights;
} sums;

// Where in the rows a tap begins.
typedef struct place {
    const int8_t *a, *b, *c, *d;
} place;

// Whole vectors; the words of a column lie GROUP_BYTES apart.
static inline sums add_whole(place x, const int8_t *w, uint32x4_t offsets, uint32_t count, sums s) {
    for (; count > 0; count--, w += 4 * GROUP_BYTES) {
        const int8x16_t by = vreinterpretq_s8_s32(vldrwq_gather_offset_s32((const int32_t *)(const void *)w, offsets));
        s.a = vmladavaq_s8(s.a, vldrbq_s8(x.a), by), x.a += 16;
        s.b = vmladavaq_s8(s.b, vldrbq_s8(x.b), by), x.b += 16;
        s.c = vmladavaq_s8(s.c, vldrbq_s8(x.c), by), x.c += 16;
        s.d = vmladavaq_s8(s.d, vldrbq_s8(x.d), by), x.d += 16;
        s.weights = vaddvaq_s8(s.weights, by);
    }
    return s;
}

// What is left, 1 to 15 values from k on. What is behind them does not count.
static inline sums add_rest(place x, uint32_t k, const int8_t *w, uint32x4_t offsets, uint32_t left, sums s) {
    const mve_pred16_t there = vctp8q(left), words = vctp32q((left + 3) / 4);
    const int8x16_t by = vreinterpretq_s8_s32(vldrwq_gather_offset_z_s32((const int32_t *)(const void *)w, offsets, words));
    s.a = vmladavaq_p_s8(s.a, vldrbq_z_s8(x.a + k, there), by, there);
    s.b = vmladavaq_p_s8(s.b, vldrbq_z_s8(x.b + k, there), by, there);
    s.c = vmladavaq_p_s8(s.c, vldrbq_z_s8(x.c + k, there), by, there);
    s.d = vmladavaq_p_s8(s.d, vldrbq_z_s8(x.d + k, there), by, there);
    s.weights = vaddvaq_p_s8(s.weights, by, there);
    return s;
}

// Four rows times a column, whose weights begin at w.
static int32x4_t column(const tody_gemm_s8 *g, const tile *t, const int8_t *w, int32_t bias) {
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), GROUP_BYTES);
    const int8_t *const *from = g->a + t->first;
    const uint32_t whole = g->depth / 16, rest = g->depth % 16;
    sums s = {0};
    for (uint32_t tap = 0; tap < g->taps; tap++, from += g->rows) {
        const place x = {from[t->row[0]], from[t->row[1]], from[t->row[2]], from[t->row[3]]};
        s = add_whole(x, w, offsets, whole, s);
        w += (size_t)whole * 4 * GROUP_BYTES;
        if (rest == 0) continue;
        s = add_rest(x, whole * 16, w, offsets, rest, s);
        w += (size_t)(rest + 3) / 4 * GROUP_BYTES;
    }
    const int32_t of[ROWS] = {s.a, s.b, s.c, s.d};
    const uint32_t all = (uint32_t)bias - (uint32_t)g->layer.x_zero * (uint32_t)s.weights;
    return vaddq_n_s32(vaddq_s32(vldrwq_s32(of), vldrwq_s32(t->start)), (int32_t)all);
}

// The results of a column, one below the other.
static void store(const tody_gemm_s8 *g, const tile *t, uint32_t col, int32x4_t sum, const tody_ends_helium *ends) {
    const mve_pred16_t there = vctp32q(t->there);
    const uint32x4_t rows = vidupq_n_u32(0, 1);
    const float scale = g->scale[col / TODY_PANEL_F32 * g->scale_stride + col % TODY_PANEL_F32];
    float32x4_t p = vmulq_n_f32(vcvtq_f32_s32(sum), scale);
    if (g->addend) {
        const int8_t *addend = g->addend + t->first * g->addend_stride + col;
        const uint32x4_t at = vmulq_n_u32(rows, (uint32_t)g->addend_stride);
        p = vaddq_f32(p, tody_addend_helium(vldrbq_gather_offset_z_s32(addend, at, there), ends));
    }
    const uint32x4_t at = vmulq_n_u32(rows, (uint32_t)g->c_stride);
    vstrbq_scatter_offset_p_s32(g->c + t->first * g->c_stride + col, at, tody_end_helium(p, ends), there);
}

void tody_gemm_s8_helium(const tody_gemm_s8 *g) {
    if (g->depth < LEAST_DEPTH) {
        tody_gemm_s8_dsp(g);
        return;
    }
    const tody_ends_helium ends = tody_ends_of_helium(&g->layer);
    tile t;
    for (t.first = 0; t.first < g->rows; t.first += ROWS) {
        t.there = g->rows - t.first < ROWS ? g->rows - t.first : ROWS;
        for (uint32_t i = 0; i < ROWS; i++) {
            t.row[i] = i < t.there ? i : t.there - 1;
            t.start[i] = tody_row_start_s8(g, t.first + t.row[i]);
        }
        for (uint32_t col = 0; col < g->cols; col++) {
            const int8_t *w = g->w + col / TODY_PANEL_F32 * g->w_stride + col % TODY_PANEL_F32 * 4;
            store(g, &t, col, column(g, &t, w, g->bias ? g->bias[col] : 0), &ends);
        }
    }
}

#endif
