// gemm_s8.h - int8 products of packed rows: a block of rows by any number of columns, one or two half panels (HALVES) at a
// time. SPDX-License-Identifier: Apache-2.0
//
// The including file has TILE, HALVES, `tile`, the sums of products of 1 to TILE rows, and `look`. The zero point of x, which
// does not fit a byte any more once it is subtracted, goes through the sums of the weights, once for all rows.
#ifndef TODY_NEON_GEMM_S8_H
#define TODY_NEON_GEMM_S8_H

#include "neon_s8.h"

enum { KNOWN = 512 };  // blocks of four groups that `look` may tell of: 8192 values of depth

// Half a panel, and what belongs to it.
typedef struct columns {
    uint32_t first, count;
    const int8_t *w;  // 32 bytes of each group of four values of depth, a panel's groups being 64 bytes apart
    size_t groups;
    const float *scale;
    sums start;             // what the sums begin with: bias - x_zero * (sum of the weights)
    bool narrow;            // for `look`: all weights are within [-127, 127]
    uint8_t gentle[KNOWN];  // and in a block, four that stand in a lane add up to less than 255, whatever their signs
} columns;

// Row i of half h goes to s[h * TODY_BLOCK_ROWS + i].
static void tile(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, sums *s);

// The sums of the weights; and how far these go, if `tile` wants to know.
static sums look(columns *c);

static void columns_of(columns *c, const tody_gemm_s8 *g, uint32_t first) {
    const uint32_t panel = first / 16, in_panel = first % 16, left = g->cols - first;
    const int32x4_t none = vdupq_n_s32(0), zero = vdupq_n_s32(g->layer.x_zero);
    c->first = first;
    c->count = left < 8 ? left : 8;
    c->w = g->w + panel * g->w_stride + in_panel * 4;
    c->groups = g->depth / 4;
    c->scale = g->scale + panel * g->scale_stride + in_panel;
    const sums all = look(c);
    const sums bias = {g->bias ? vld1q_s32(g->bias + first) : none, g->bias ? vld1q_s32(g->bias + first + 4) : none};
    c->start = (sums){vmlsq_s32(bias.low, all.low, zero), vmlsq_s32(bias.high, all.high, zero)};
}

// What a w_zero adds to the sums of a row: -w_zero * sum of (a - x_zero).
static int32_t row_start(const tody_gemm_s8 *g, const int8_t *row) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k < g->depth; k++) sum += (uint32_t)(row[k] - g->layer.x_zero);
    return (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
}

static void add_row_starts(const tody_gemm_s8 *g, sums *s) {
    for (uint32_t i = 0; i < g->rows; i++) {
        const int32x4_t start = vdupq_n_s32(row_start(g, g->packed + i * g->packed_stride));
        s[i] = add_sums(s[i], (sums){start, start});
    }
}

// Where results go, and addends (or NULL) come from: eight of a row, then those of the next.
typedef struct places {
    int8_t *c;
    size_t stride;
    const int8_t *addend;
    size_t addend_stride;
} places;

// One row, or two at once.
INLINE void finish_some(places *to, const sums *s, const uint32_t rows, factors f, const ending *e, const bool added,
                        const size_t count) {
    int8x8_t x = vdup_n_s8(0), y = x;
    if (added) {
        x = load_part_s8(to->addend, count);
        if (rows > 1) y = load_part_s8(to->addend + to->addend_stride, count);
        to->addend += rows * to->addend_stride;
    }
    const int16x8_t near = scaled_s8(s[0], f, added ? &x : NULL, e);
    const int16x8_t far = rows > 1 ? scaled_s8(s[1], f, added ? &y : NULL, e) : near;
    const int8x16_t both = results_s8(near, far, e);
    store_part_s8(to->c, count, vget_low_s8(both));
    if (rows > 1) store_part_s8(to->c + to->stride, count, vget_high_s8(both));
    to->c += rows * to->stride;
}

INLINE void finish_all(const tody_gemm_s8 *g, const columns *c, const sums *s, const bool added, const size_t count) {
    const ending e = ending_of(&g->layer);
    const factors f = load_factors(c->scale);
    places to = {g->c + c->first, g->c_stride, added ? g->addend + c->first : NULL, g->addend_stride};
    const sums *end = s + g->rows;
    for (; s + 2 <= end; s += 2) finish_some(&to, s, 2, f, &e, added, count);
    if (s < end) finish_some(&to, s, 1, f, &e, added, count);
}

static void finish_rows(const tody_gemm_s8 *g, const columns *c, sums *s) {
    if (g->layer.w_zero) add_row_starts(g, s);
    if (c->count < 8)
        finish_all(g, c, s, g->addend, c->count);
    else if (g->addend)
        finish_all(g, c, s, true, 8);
    else
        finish_all(g, c, s, false, 8);
}

// Rows are dealt out evenly to tiles.
static inline void run_block(const tody_gemm_s8 *g) {
    const uint32_t tiles = (g->rows + TILE - 1) / TILE, least = g->rows / tiles, larger = g->rows % tiles;
    sums s[HALVES * TODY_BLOCK_ROWS];
    for (uint32_t column = 0; column < g->cols; column += 8 * HALVES) {
        const uint32_t halves = g->cols - column > 8 ? HALVES : 1;
        columns c[HALVES];
        columns_of(&c[0], g, column);
        if (halves > 1) columns_of(&c[HALVES - 1], g, column + 8);
        for (uint32_t t = 0, first = 0; t < tiles; t++) {
            const uint32_t rows = least + (t < larger);
            tile(g, c, halves, g->packed + first * g->packed_stride, rows, s + first);
            first += rows;
        }
        for (uint32_t h = 0; h < halves; h++) finish_rows(g, &c[h], s + h * TODY_BLOCK_ROWS);
    }
}

#endif
