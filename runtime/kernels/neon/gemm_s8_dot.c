// gemm_s8_dot.c - int8 matrix product by dot product instructions (sdot, Armv8.2): 4 rows by 16 columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

#if defined(__ARM_FEATURE_DOTPROD)

enum { TILE = 4, HALVES = 2, UNIT = 1 };

#include "gemm_s8.h"
#include "schedule.h"

// One row of a panel, or of its half: low alone.
typedef struct line {
    sums low, high;
} line;

typedef struct block {
    line s0, s1, s2, s3;
} block;

// Sixteen values of depth of each row.
typedef struct fours_s8 {
    int8x16_t x0, x1, x2, x3;
} fours_s8;

static sums look(const tody_gemm_s8 *g, columns *c) {
    (void)g;
    return sum_weights(c->w, c->groups);
}

INLINE line add(line s, int8x16_t x, const int8x16x4_t *w, const uint32_t halves, const int lane) {
    s.low.low = dot_lane_s8(s.low.low, w->val[0], x, lane);
    s.low.high = dot_lane_s8(s.low.high, w->val[1], x, lane);
    if (halves > 1) s.high.low = dot_lane_s8(s.high.low, w->val[2], x, lane);
    if (halves > 1) s.high.high = dot_lane_s8(s.high.high, w->val[3], x, lane);
    return s;
}

// One group of depth.
INLINE block add_lane(block b, fours_s8 x, const int8_t **w, const uint32_t halves, const uint32_t rows, const int lane) {
    int8x16x4_t all;
    if (halves > 1) {
        all = load_four_s8(w);
    } else {
        load_pair_s8(*w, 0, &all.val[0], &all.val[1]);
        *w += 64;
    }
    b.s0 = add(b.s0, x.x0, &all, halves, lane);
    if (rows > 1) b.s1 = add(b.s1, x.x1, &all, halves, lane);
    if (rows > 2) b.s2 = add(b.s2, x.x2, &all, halves, lane);
    if (rows > 3) b.s3 = add(b.s3, x.x3, &all, halves, lane);
    return b;
}

// What follows, of each row.
INLINE fours_s8 load_rows(const int8_t **a, const uint32_t rows) {
    fours_s8 x = {.x0 = load_next_s8(&a[0])};
    if (rows > 1) x.x1 = load_next_s8(&a[1]);
    if (rows > 2) x.x2 = load_next_s8(&a[2]);
    if (rows > 3) x.x3 = load_next_s8(&a[3]);
    return x;
}

// What a w_zero adds.
INLINE block add_starts(block b, const tody_gemm_s8 *g, const int8_t *a, const uint32_t rows) {
    int32_t starts[TILE] = {0};
    row_starts(g, a, rows, starts);
    const int32x4_t x0 = vdupq_n_s32(starts[0]), x1 = vdupq_n_s32(starts[1]);
    const int32x4_t x2 = vdupq_n_s32(starts[2]), x3 = vdupq_n_s32(starts[3]);
    const sums s0 = {x0, x0}, s1 = {x1, x1}, s2 = {x2, x2}, s3 = {x3, x3};
    return (block){{add_sums(b.s0.low, s0), add_sums(b.s0.high, s0)},
                   {add_sums(b.s1.low, s1), add_sums(b.s1.high, s1)},
                   {add_sums(b.s2.low, s2), add_sums(b.s2.high, s2)},
                   {add_sums(b.s3.low, s3), add_sums(b.s3.high, s3)}};
}

INLINE block products(const tody_gemm_s8 *g, const columns *c, const uint32_t halves, const int8_t *first,
                      const uint32_t rows) {
    const line start = {c->start, halves > 1 ? c[1].start : c->start};
    block b = {start, start, start, start};
    if (g->layer.w_zero) b = add_starts(b, g, first, rows);
    const int8_t *a[TILE], *w = c->w;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < rows; i++) a[i] = first + i * g->packed_stride;
    for (const int8_t *end = w + c->groups / 4 * 256; w < end;) {
        const fours_s8 x = load_rows(a, rows);
        b = add_lane(b, x, &w, halves, rows, 0);
        b = add_lane(b, x, &w, halves, rows, 1);
        b = add_lane(b, x, &w, halves, rows, 2);
        b = add_lane(b, x, &w, halves, rows, 3);
    }
    const size_t left = c->groups % 4;
    if (left) {  // what a packed row holds behind its last group is not used
        const fours_s8 x = load_rows(a, rows);
        b = add_lane(b, x, &w, halves, rows, 0);
        if (left > 1) b = add_lane(b, x, &w, halves, rows, 1);
        if (left > 2) b = add_lane(b, x, &w, halves, rows, 2);
    }
    return b;
}

INLINE void tiles_of(const tody_gemm_s8 *g, const columns *c, const uint32_t halves, const int8_t *a, const uint32_t rows,
                     uint32_t count, places to, const bool plain) {
    const results r = results_of(g, c, halves);
    for (; count > 0; count--, a += rows * g->packed_stride) {
        const block b = products(g, c, halves, a, rows);
        if (halves > 1) {
            finish_row(&to, b.s0.low, b.s0.high, &r, plain);
            if (rows > 1) finish_row(&to, b.s1.low, b.s1.high, &r, plain);
            if (rows > 2) finish_row(&to, b.s2.low, b.s2.high, &r, plain);
            if (rows > 3) finish_row(&to, b.s3.low, b.s3.high, &r, plain);
        } else {
            finish_half(&to, b.s0.low, b.s1.low, rows > 1 ? 2 : 1, &r, plain);
            if (rows > 2) finish_half(&to, b.s2.low, b.s3.low, rows - 2, &r, plain);
        }
    }
}

INLINE void tiles_where(const tody_gemm_s8 *g, const columns *c, const uint32_t halves, const int8_t *a, uint32_t rows,
                        uint32_t count, places to, const bool plain) {
    switch (rows) {
        case 1: tiles_of(g, c, halves, a, 1, count, to, plain); break;
        case 2: tiles_of(g, c, halves, a, 2, count, to, plain); break;
        case 3: tiles_of(g, c, halves, a, 3, count, to, plain); break;
        default: tiles_of(g, c, halves, a, TILE, count, to, plain); break;
    }
}

static void tiles(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, uint32_t count,
                  places to) {
    const bool plain = tody_is_plain(to.addend, &g->layer);
    if (halves > 1 && plain)
        tiles_where(g, c, HALVES, a, rows, count, to, true);
    else if (halves > 1)
        tiles_where(g, c, HALVES, a, rows, count, to, false);
    else if (plain)
        tiles_where(g, c, 1, a, rows, count, to, true);
    else
        tiles_where(g, c, 1, a, rows, count, to, false);
}

void tody_gemm_s8_neon_dot(const tody_gemm_s8 *args) { run_block(args); }

const tody_kernels tody_kernels_neon_dot = {
    .name = "neon_dot",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_DOT,
    .gemm_s8_rows = TILE,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8_block = 2 * TODY_BLOCK_ROWS,
    .gemm_s8_plain = true,
    .gemm_s8 = tody_gemm_s8_neon_dot,
    .pack_s8 = tody_pack_s8_neon,
    .dwconv_s8 = tody_dwconv_s8_neon_dot,
    .sparse_s8_rows = 32,
    .sparse_s8_shift = 0,
    .words_s8 = tody_words_s8_neon_dot,
    .sparse_s8 = tody_sparse_s8_neon_dot,
};

#endif
