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

// Two rows at a time; an odd last one is its own partner.
INLINE void finish_pairs(const tody_gemm_s8 *g, const columns *c, const sums *s, const bool added, const size_t count) {
    const ending e = ending_of(&g->layer);
    const factors f = load_factors(c->scale);
    const size_t stride = g->c_stride, addend_stride = g->addend_stride;
    const sums *last = s + g->rows - 1;
    const int8_t *addend = added ? g->addend + c->first : NULL;
    for (int8_t *to = g->c + c->first; s <= last; s += 2, to += 2 * stride) {
        const bool more = s < last;
        int8x8_t x = vdup_n_s8(0), y = x;
        if (added) {
            x = load_part_s8(addend, count);
            y = load_part_s8(more ? addend + addend_stride : addend, count);
            addend += 2 * addend_stride;
        }
        const int16x8_t near = scaled_s8(*s, f, added ? &x : NULL, &e), far = scaled_s8(s[more], f, added ? &y : NULL, &e);
        const int8x16_t both = results_s8(near, far, &e);
        store_part_s8(to, count, vget_low_s8(both));
        if (more) store_part_s8(to + stride, count, vget_high_s8(both));
    }
}

static void finish_rows(const tody_gemm_s8 *g, const columns *c, sums *s) {
    if (g->layer.w_zero) add_row_starts(g, s);
    if (c->count < 8)
        finish_pairs(g, c, s, g->addend, c->count);
    else if (g->addend)
        finish_pairs(g, c, s, true, 8);
    else
        finish_pairs(g, c, s, false, 8);
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
