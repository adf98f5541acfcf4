// gemm_s8.h - int8 products of packed rows: a block of rows by any number of columns, so many columns at a time as `sums` has.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has a vector_s8_*.h; `start_of`, what the sums of columns begin with; and `row_start`, what a w_zero adds
// to those of a row.
#ifndef TODY_X86_GEMM_S8_H
#define TODY_X86_GEMM_S8_H

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

// The columns of a pass, and what belongs to them. Of two panels the second is `w_stride` behind the first.
typedef struct columns {
    uint32_t first, count;
    const int8_t *w;
    size_t w_stride, groups, line;  // of four values of depth; values of a line of a row
    sums start;
    factors factors;
    uint32_t tile;  // rows taken together
    size_t step;    // left to `tile`, as the next
    size_t ahead;   // as this
    const int8_t *rest, *wide;
    const struct run *runs;
    const int32_t *row_starts;  // of all rows, or NULL
} columns;

static sums start_of(const tody_gemm_s8 *g, const columns *c);
static int32_t row_start(const tody_gemm_s8 *g, uint32_t row);

// The sums of products of up to TILE rows; may read a whole tile of rows, and write one of sums.
typedef void (*tile_function)(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s);

static columns columns_of(const tody_gemm_s8 *g, uint32_t first) {
    const uint32_t panel = first / 16, left = g->cols - first, count = left < COLUMNS ? left : COLUMNS;
    const float *scale = g->scale + panel * g->scale_stride;
    const uint32_t multipliers = g->scale_stride ? (count + 15) / 16 * 16 : 16;
    columns c = {.first = first,
                 .count = count,
                 .w = g->w + panel * g->w_stride,
                 .w_stride = g->w_stride,
                 .groups = g->depth / 4,
                 .line = g->depth / g->lines,
                 .tile = TILE};
    c.start = start_of(g, &c);
    c.factors = factors_s8(scale, multipliers, &g->layer);
    if (!g->scale_stride && COLUMNS > 16) {
        c.factors.scale.high = c.factors.scale.low;
        c.factors.slope.high = c.factors.slope.low;
    }
    return c;
}

// `whole`, whether results are of whole vectors and no w_zero adds to their sums, and `plain`, of tody_is_plain, are constants
// after inlining.
INLINE void finish_some(const tody_gemm_s8 *g, const columns *c, uint32_t first, uint32_t rows, const sums *s, const bool whole,
                        const bool plain) {
    tody_layer_s8 layer = g->layer;
    if (plain) layer.slopes = 0;
    const factors factors = c->factors;
    const sums start = c->start;
    int8_t *to = g->c + first * g->c_stride + c->first;
    const int8_t *addend = !plain && g->addend ? g->addend + first * g->addend_stride + c->first : NULL;
    for (uint32_t i = 0; i < rows; i++, to += g->c_stride) {
        sums all = {add_s32(s[i].low, start.low), add_s32(s[i].high, start.high)};
        if (!whole && layer.w_zero) {
            const integers row = all_s32(c->row_starts ? c->row_starts[first + i] : row_start(g, first + i));
            all = (sums){add_s32(all.low, row), add_s32(all.high, row)};
        }
        finish_s8(to, whole ? COLUMNS : c->count, all, &factors, addend, &layer);
        if (addend) addend += g->addend_stride;
    }
}

static void finish_rows(const tody_gemm_s8 *g, const columns *c, uint32_t first, uint32_t rows, const sums *s) {
    const bool whole = c->count == COLUMNS && !g->layer.w_zero;
    if (whole && tody_is_plain(g->addend, &g->layer))
        finish_some(g, c, first, rows, s, true, true);
    else if (whole && COLUMNS > 16)  // a set of short vectors gains less than it would grow
        finish_some(g, c, first, rows, s, true, false);
    else
        finish_some(g, c, first, rows, s, false, false);
}

INLINE void run_rows(const tody_gemm_s8 *g, const columns *c, const tile_function tile) {
    const int8_t *line = g->packed;
    for (uint32_t first = 0; first < g->rows; first += g->width, line += g->width_stride) {
        for (uint32_t row = 0; row < g->width; row += c->tile) {
            const uint32_t left = g->width - row, rows = left < c->tile ? left : c->tile;
            sums s[TILE];
            tile(g, c, line + row * g->packed_stride, rows, s);
            finish_rows(g, c, first + row, rows, s);
        }
    }
}

#endif
