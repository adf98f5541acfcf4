// gemm_s8.h - int8 products of packed rows: a block of rows by any number of columns, 8 columns at a time.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has `tile`, the sums of products of 1 to TILE rows. The zero point of x, which does not fit a byte any
// more once it is subtracted, goes through the sums of the weights, once for all rows.
#ifndef TODY_NEON_GEMM_S8_H
#define TODY_NEON_GEMM_S8_H

#include "neon_s8.h"

// Half a panel, and what belongs to it.
typedef struct columns {
    uint32_t first, count;
    const int8_t *w;  // 32 bytes of each group of four values of depth, a panel's groups being 64 bytes apart
    size_t groups;
    const float *scale;
    sums start;   // what the sums begin with
    bool narrow;  // all weights are within [-127, 127], so that two products fit int16
} columns;

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s);

// Begin with bias - x_zero * (sum of the weights), and look how far the weights go.
static void weigh(columns *c, const tody_gemm_s8 *g) {
    enum { FLUSH = 32 };  // groups of which the sums fit int16
    const int32x4_t zero = vdupq_n_s32(g->layer.x_zero);
    int8x16_t least = vdupq_n_s8(0);
    const int8_t *w = c->w, *end = w + c->groups * 64;
    while (w < end) {
        const int8_t *stop = end - w > FLUSH * 64 ? w + FLUSH * 64 : end;
        int16x8_t low = vdupq_n_s16(0), high = low;
        for (; w < stop; w += 64) {
            const int8x16_t w_low = vld1q_s8(w), w_high = vld1q_s8(w + 16);
            low = vpadalq_s8(low, w_low);
            high = vpadalq_s8(high, w_high);
            least = vminq_s8(least, vminq_s8(w_low, w_high));
        }
        c->start.low = vmlsq_s32(c->start.low, vpaddlq_s16(low), zero);
        c->start.high = vmlsq_s32(c->start.high, vpaddlq_s16(high), zero);
    }
    int8_t lanes[16];
    vst1q_s8(lanes, least);
    for (uint32_t i = 0; i < 16; i++) c->narrow = c->narrow && lanes[i] > -128;
}

static columns columns_of(const tody_gemm_s8 *g, uint32_t first) {
    const uint32_t panel = first / 16, in_panel = first % 16, left = g->cols - first;
    columns c = {.first = first,
                 .count = left < 8 ? left : 8,
                 .w = g->w + panel * g->w_stride + in_panel * 4,
                 .groups = g->depth / 4,
                 .scale = g->scale + panel * g->scale_stride + in_panel,
                 .start = {vdupq_n_s32(0), vdupq_n_s32(0)},
                 .narrow = true};
    if (g->bias) c.start = (sums){vld1q_s32(g->bias + first), vld1q_s32(g->bias + first + 4)};
    weigh(&c, g);
    return c;
}

// What a w_zero adds to the sums of a row: -w_zero * sum of (a - x_zero).
static int32_t row_start(const tody_gemm_s8 *g, const int8_t *row) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k < g->depth; k++) sum += (uint32_t)(row[k] - g->layer.x_zero);
    return (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
}

static void finish_rows(const tody_gemm_s8 *g, const columns *c, uint32_t first, uint32_t rows, const sums *s) {
    const tody_layer_s8 layer = g->layer;
    const sums start = c->start;
    int8_t *to = g->c + first * g->c_stride + c->first;
    const int8_t *addend = g->addend ? g->addend + first * g->addend_stride + c->first : NULL;
    for (uint32_t i = 0; i < rows; i++, to += g->c_stride) {
        sums all = {vaddq_s32(s[i].low, start.low), vaddq_s32(s[i].high, start.high)};
        if (layer.w_zero) {
            const int32x4_t row = vdupq_n_s32(row_start(g, g->packed + (first + i) * g->packed_stride));
            all = (sums){vaddq_s32(all.low, row), vaddq_s32(all.high, row)};
        }
        finish_s8(to, c->count, all, c->scale, addend, &layer);
        if (addend) addend += g->addend_stride;
    }
}

// Rows are dealt out evenly to tiles.
static inline void run_block(const tody_gemm_s8 *g) {
    const uint32_t tiles = (g->rows + TILE - 1) / TILE;
    for (uint32_t column = 0; column < g->cols; column += 8) {
        const columns c = columns_of(g, column);
        for (uint32_t t = 0; t < tiles; t++) {
            const uint32_t first = g->rows * t / tiles, rows = g->rows * (t + 1) / tiles - first;
            sums s[TILE];
            tile(g, &c, g->packed + first * g->packed_stride, rows, s);
            finish_rows(g, &c, first, rows, s);
        }
    }
}

#endif
