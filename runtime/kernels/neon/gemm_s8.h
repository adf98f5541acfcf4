// gemm_s8.h - int8 products of a block of rows by any number of columns, one or two half panels (HALVES) at a time.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has TILE, HALVES, UNIT (so many rows come together, eight values of each after the other's; TILE and all
// rows are a multiple of it), `tiles` and `look`. The zero point of x, which does not fit a byte any more once it is
// subtracted, goes through the sums of the weights, once for all rows.
#ifndef TODY_NEON_GEMM_S8_H
#define TODY_NEON_GEMM_S8_H

#include "neon_s8.h"

enum { WIDE = 8 * HALVES };
enum { KNOWN = 512 };  // blocks of four groups that `look` may tell of: 8192 values of depth

// Half a panel, and what belongs to it.
typedef struct columns {
    const int8_t *w;  // 32 bytes of each group of four values of depth, a panel's groups being 64 bytes apart
    size_t groups;
    const float *scale;
    sums start;             // what the sums begin with: bias - x_zero * (sum of the weights)
    bool narrow;            // for `look`: all weights are within [-127, 127]
    bool all_gentle;        // and in each block, four that stand in a lane add up to less than 255, whatever their signs
    uint8_t gentle[KNOWN];  // or in this one
} columns;

// Where the results of a tile go, and addends (or NULL) come from: WIDE of each row, or 8.
typedef struct places {
    int8_t *c;
    size_t stride;
    const int8_t *addend;
    size_t addend_stride;
} places;

// The results of `count` tiles of 1 to TILE rows each, from `a` on, in one or two halves.
static void tiles(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, uint32_t count,
                  places to);

// The sums of the weights; and how far these go, or another form of them, if `tiles` wants that.
static sums look(const tody_gemm_s8 *g, columns *c);

static void columns_of(columns *c, const tody_gemm_s8 *g, uint32_t first) {
    const uint32_t panel = first / 16, in_panel = first % 16;
    const int32x4_t none = vdupq_n_s32(0), zero = vdupq_n_s32(g->layer.x_zero);
    c->w = g->w + panel * g->w_stride + in_panel * 4;
    c->groups = g->depth / 4;
    c->scale = g->scale + panel * g->scale_stride + in_panel;
    const sums all = look(g, c);
    const sums bias = {g->bias ? vld1q_s32(g->bias + first) : none, g->bias ? vld1q_s32(g->bias + first + 4) : none};
    c->start = (sums){vmlsq_s32(bias.low, all.low, zero), vmlsq_s32(bias.high, all.high, zero)};
}

// What a w_zero adds to the sums of some rows: -w_zero * sum of (a - x_zero). Models seldom have one.
static __attribute__((noinline)) void row_starts(const tody_gemm_s8 *g, const int8_t *a, uint32_t rows, int32_t *starts) {
    for (uint32_t i = 0; i < rows; i++) {
        const int8_t *row = a + i / UNIT * UNIT * g->packed_stride + i % UNIT * 8;
        uint32_t sum = 0;
        for (uint32_t k = 0; k < g->depth; k++) sum += (uint32_t)(row[k / 8 * UNIT * 8 + k % 8] - g->layer.x_zero);
        starts[i] = (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
    }
}

// Sixteen results: of eight sums a and of eight sums b, and addends if there are any.
INLINE int8x16_t finish_s8(sums a, sums b, factors f, factors h, const int8x16_t *addend, const ending *e) {
    if (!addend) return results_s8(scaled_s8(a, f, NULL, e), scaled_s8(b, h, NULL, e), e);
    const int8x8_t near = vget_low_s8(*addend), far = vget_high_s8(*addend);
    return results_s8(scaled_s8(a, f, &near, e), scaled_s8(b, h, &far, e), e);
}

// What all results of some columns need.
typedef struct results {
    factors low, high;
    ending ending;
} results;

INLINE results results_of(const tody_gemm_s8 *g, const columns *c, const uint32_t halves) {
    const uint32_t slopes = g->layer.slopes;
    const factors low = load_factors(c->scale, slopes);
    return (results){low, halves > 1 ? load_factors(c[halves - 1].scale, slopes) : low, ending_of(&g->layer)};
}

// A row of two halves. `plain`: of tody_is_plain.
INLINE void finish_row(places *to, sums low, sums high, const results *r, const bool plain) {
    const ending e = ending_where(r->ending, plain);
    const bool added = !plain && to->addend;
    int8x16_t x = vdupq_n_s8(0);
    if (added) {
        x = vld1q_s8(to->addend);
        to->addend += to->addend_stride;
    }
    vst1q_s8(to->c, finish_s8(low, high, r->low, r->high, added ? &x : NULL, &e));
    to->c += to->stride;
}

// One half of `rows` rows, one or two. What is more than one half of a single row goes nowhere.
INLINE void finish_half(places *to, sums a, sums b, const uint32_t rows, const results *r, const bool plain) {
    const ending e = ending_where(r->ending, plain);
    const bool added = !plain && to->addend;
    const size_t next = rows > 1 ? to->stride : 0, next_addend = rows > 1 ? to->addend_stride : 0;
    int8x16_t x = vdupq_n_s8(0);
    if (added) {
        x = load_two_s8(to->addend, to->addend + next_addend);
        to->addend += to->addend_stride + next_addend;
    }
    const int8x16_t y = finish_s8(a, rows > 1 ? b : a, r->low, r->low, added ? &x : NULL, &e);
    vst1_s8(to->c, vget_low_s8(y));
    if (rows > 1) vst1_s8(to->c + next, vget_high_s8(y));
    to->c += to->stride + next;
}

// `rows` rows from `a` on, which are dealt out evenly to tiles.
static void all_tiles(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, places to) {
    const uint32_t count = (rows + TILE - 1) / TILE, units = rows / UNIT, least = units / count * UNIT;
    const uint32_t larger = units % count, first = larger * (least + UNIT);
    if (larger) tiles(g, c, halves, a, least + UNIT, larger, to);
    to.c += first * to.stride;
    if (to.addend) to.addend += first * to.addend_stride;
    tiles(g, c, halves, a + first * g->packed_stride, least, count - larger, to);
}

// The same of `count` columns, less than WIDE; so many rows at once that results fit aside: what lies behind them belongs to
// others.
static __attribute__((noinline)) void some_columns(const tody_gemm_s8 *g, const columns *c, uint32_t halves, uint32_t count,
                                                   const places *to) {
    int8_t y[TODY_BLOCK_ROWS * WIDE], x[TODY_BLOCK_ROWS * WIDE] = {0};
    const places aside = {y, WIDE, to->addend ? x : NULL, WIDE};
    for (uint32_t at = 0, rows; at < g->rows; at += rows) {
        rows = g->rows - at < TODY_BLOCK_ROWS ? g->rows - at : TODY_BLOCK_ROWS;
        for (uint32_t i = 0; to->addend && i < rows; i++)
            memcpy(x + i * WIDE, to->addend + (at + i) * to->addend_stride, count);
        all_tiles(g, c, halves, g->packed + at * g->packed_stride, rows, aside);
        for (uint32_t i = 0; i < rows; i++) memcpy(to->c + (at + i) * to->stride, y + i * WIDE, count);
    }
}

static inline void run_block(const tody_gemm_s8 *g) {
    for (uint32_t column = 0; column < g->cols; column += WIDE) {
        const uint32_t count = g->cols - column < WIDE ? g->cols - column : WIDE, halves = count > 8 ? HALVES : 1;
        const places to = {g->c + column, g->c_stride, g->addend ? g->addend + column : NULL, g->addend_stride};
        columns c[HALVES];
        for (uint32_t h = 0; h < halves; h++) columns_of(&c[h], g, column + 8 * h);
        if (count < WIDE)
            some_columns(g, c, halves, count, &to);
        else
            all_tiles(g, c, halves, g->packed, g->rows, to);
    }
}

#endif
