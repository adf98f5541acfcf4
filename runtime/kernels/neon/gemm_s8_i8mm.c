// gemm_s8_i8mm.c - int8 matrix product by products of 2x8 by 8x2 (smmla, Armv8.6): 12 rows by 8 columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// A product wants eight values of two rows, and of two columns, side by side. Rows are packed so, in fours; weights of eight
// columns are put so behind the packed rows, once for all of these. What rows are left of fours go by dot products.
#include "neon_s8.h"

#if defined(__ARM_FEATURE_MATMUL_INT8)

enum { UNIT = TODY_FOUR, TILE = 3 * UNIT, HALVES = 1 };

#include "gemm_s8.h"
#include "schedule.h"

// Two rows by 8 columns: each vector has two columns of one row, then of the other.
typedef struct pair {
    int32x4_t v0, v1, v2, v3;
} pair;

// Rows 0 and 1, 2 and 3.
typedef struct four {
    pair near, far;
} four;

typedef struct block {
    four s0, s1, s2;
} block;

// Eight values of depth of 8 columns, two of them in each vector.
INLINE int8x16x4_t side_by_side(int8x16_t a, int8x16_t b, int8x16_t c, int8x16_t d) {
    const int32x4_t x0 = vreinterpretq_s32_s8(a), x1 = vreinterpretq_s32_s8(b);
    const int32x4_t y0 = vreinterpretq_s32_s8(c), y1 = vreinterpretq_s32_s8(d);
    return (int8x16x4_t){{vreinterpretq_s8_s32(vzip1q_s32(x0, y0)), vreinterpretq_s8_s32(vzip2q_s32(x0, y0)),
                          vreinterpretq_s8_s32(vzip1q_s32(x1, y1)), vreinterpretq_s8_s32(vzip2q_s32(x1, y1))}};
}

INLINE pair add(pair p, int8x16_t x, const int8x16x4_t *w) {
    p.v0 = add_pairs_s8(p.v0, x, w->val[0]);
    p.v1 = add_pairs_s8(p.v1, x, w->val[1]);
    p.v2 = add_pairs_s8(p.v2, x, w->val[2]);
    p.v3 = add_pairs_s8(p.v3, x, w->val[3]);
    return p;
}

// Puts weights side by side. A group that has no other beside it has zeros there.
static sums look(const tody_gemm_s8 *g, columns *c) {
    const int8x16_t one = vdupq_n_s8(1), zero = vdupq_n_s8(0);
    const int32x4_t none = vdupq_n_s32(0);
    pair all = {none, none, none, none};
    const int8_t *w = c->w;
    int8_t *to = g->work;
    c->w = to;
    for (size_t left = c->groups; left > 0; w += 128, to += 64) {
        const bool two = left > 1;
        const int8x16x4_t x =
            side_by_side(vld1q_s8(w), vld1q_s8(w + 16), two ? vld1q_s8(w + 64) : zero, two ? vld1q_s8(w + 80) : zero);
        vst1q_s8_x4(to, x);
        all = add(all, one, &x);
        left -= two ? 2 : 1;
    }
    return (sums){vcombine_s32(vget_low_s32(all.v0), vget_low_s32(all.v1)),
                  vcombine_s32(vget_low_s32(all.v2), vget_low_s32(all.v3))};
}

// Eight values of depth.
INLINE block add_step(block b, const int8_t *a[3], const int8_t **w, const uint32_t fours) {
    const int8x16x4_t all = load_four_s8(w);
    int8x16_t x, y;
    load_next_pair_s8(&a[0], &x, &y);
    b.s0 = (four){add(b.s0.near, x, &all), add(b.s0.far, y, &all)};
    if (fours > 1) {
        load_next_pair_s8(&a[1], &x, &y);
        b.s1 = (four){add(b.s1.near, x, &all), add(b.s1.far, y, &all)};
    }
    if (fours > 2) {
        load_next_pair_s8(&a[2], &x, &y);
        b.s2 = (four){add(b.s2.near, x, &all), add(b.s2.far, y, &all)};
    }
    return b;
}

INLINE int32x4_t twice(int32x2_t x) { return vcombine_s32(x, x); }

INLINE pair add_all(pair p, int32x4_t x) {
    return (pair){vaddq_s32(p.v0, x), vaddq_s32(p.v1, x), vaddq_s32(p.v2, x), vaddq_s32(p.v3, x)};
}

// What a w_zero adds to four rows.
INLINE four add_starts(four f, int32x4_t starts) {
    return (four){add_all(f.near, vzip1q_s32(starts, starts)), add_all(f.far, vzip2q_s32(starts, starts))};
}

INLINE block products(const tody_gemm_s8 *g, const columns *c, const int8_t *first, const uint32_t fours) {
    const int32x4_t low = c->start.low, high = c->start.high;
    const pair begin = {twice(vget_low_s32(low)), twice(vget_high_s32(low)), twice(vget_low_s32(high)),
                        twice(vget_high_s32(high))};
    const size_t next = UNIT * g->packed_stride;
    const int8_t *a[3] = {first, first + next, first + 2 * next}, *w = c->w;
    block b = {{begin, begin}, {begin, begin}, {begin, begin}};
    if (g->layer.w_zero) {
        int32_t starts[TILE];
        row_starts(g, first, fours * UNIT, starts);
        b.s0 = add_starts(b.s0, vld1q_s32(starts));
        if (fours > 1) b.s1 = add_starts(b.s1, vld1q_s32(starts + UNIT));
        if (fours > 2) b.s2 = add_starts(b.s2, vld1q_s32(starts + 2 * UNIT));
    }
    const size_t steps = (c->groups + 1) / 2;
    for (const int8_t *end = w + steps / 2 * 128; w < end;) {
        b = add_step(b, a, &w, fours);
        b = add_step(b, a, &w, fours);
    }
    if (steps % 2) b = add_step(b, a, &w, fours);
    return b;
}

// What all results of 8 columns need: their multipliers, and slopes, each twice.
typedef struct doubles {
    factors low, high;
    ending ending;
} doubles;

INLINE float32x4_t two_doubles(const float *p) { return vcombine_f32(vld1_f32(p), vld1_f32(p)); }

INLINE factors load_doubles(const float *scale, uint32_t slopes) {
    const float *slope = scale + slopes;
    return (factors){two_doubles(scale), two_doubles(scale + 2), two_doubles(slope), two_doubles(slope + 2)};
}

// Two rows of results, two columns of one beside two of the other.
INLINE int16x8_t finish_pair(places *to, pair p, const doubles *d, const bool plain) {
    const ending e = ending_where(d->ending, plain);
    const sums low = {p.v0, p.v1}, high = {p.v2, p.v3};
    int8x16_t x = vdupq_n_s8(0);
    const bool added = !plain && to->addend;
    if (added) {
        const int16x4_t a = vreinterpret_s16_s8(vld1_s8(to->addend));
        const int16x4_t b = vreinterpret_s16_s8(vld1_s8(to->addend + to->addend_stride));
        x = vreinterpretq_s8_s16(vcombine_s16(vzip1_s16(a, b), vzip2_s16(a, b)));
        to->addend += 2 * to->addend_stride;
    }
    return vreinterpretq_s16_s8(finish_s8(low, high, d->low, d->high, added ? &x : NULL, &e));
}

INLINE void finish_four(places *to, four f, const doubles *d, const bool plain) {
    const int16x8_t near = finish_pair(to, f.near, d, plain), far = finish_pair(to, f.far, d, plain);
    const int8x16_t even = vreinterpretq_s8_s16(vuzp1q_s16(near, far)), odd = vreinterpretq_s8_s16(vuzp2q_s16(near, far));
    vst1_s8(to->c, vget_low_s8(even));
    vst1_s8(to->c + to->stride, vget_low_s8(odd));
    vst1_s8(to->c + 2 * to->stride, vget_high_s8(even));
    vst1_s8(to->c + 3 * to->stride, vget_high_s8(odd));
    to->c += 4 * to->stride;
}

INLINE void tiles_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t fours, uint32_t count, places to,
                     const bool plain) {
    const uint32_t slopes = g->layer.slopes;
    const doubles d = {load_doubles(c->scale, slopes), load_doubles(c->scale + 4, slopes), ending_of(&g->layer)};
    for (; count > 0; count--, a += fours * UNIT * g->packed_stride) {
        const block b = products(g, c, a, fours);
        finish_four(&to, b.s0, &d, plain);
        if (fours > 1) finish_four(&to, b.s1, &d, plain);
        if (fours > 2) finish_four(&to, b.s2, &d, plain);
    }
}

INLINE void tiles_where(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, uint32_t count, places to,
                        const bool plain) {
    switch (rows / UNIT) {
        case 1: tiles_of(g, c, a, 1, count, to, plain); break;
        case 2: tiles_of(g, c, a, 2, count, to, plain); break;
        default: tiles_of(g, c, a, TILE / UNIT, count, to, plain); break;
    }
}

static void tiles(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, uint32_t count,
                  places to) {
    (void)halves;
    if (tody_is_plain(to.addend, &g->layer))
        tiles_where(g, c, a, rows, count, to, true);
    else
        tiles_where(g, c, a, rows, count, to, false);
}

static void run(const tody_gemm_s8 *args) {
    tody_gemm_s8 fours = *args, rest = *args;
    rest.rows = args->rows % UNIT;
    fours.rows = args->rows - rest.rows;
    rest.packed += fours.rows * args->packed_stride;
    rest.c += fours.rows * args->c_stride;
    if (rest.addend) rest.addend += fours.rows * args->addend_stride;
    fours.work = args->packed + args->rows * args->packed_stride;
    if (fours.rows) run_block(&fours);
    if (rest.rows) tody_gemm_s8_neon_dot(&rest);
}

const tody_kernels tody_kernels_neon_i8mm = {
    .name = "neon_i8mm",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_DOT | TODY_CPU_NEON_I8MM,
    .gemm_s8_rows = TILE,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8_block = 2 * TODY_BLOCK_ROWS,
    .gemm_s8_spare = 8,
    .pack_s8_rows = UNIT,
    .gemm_s8 = run,
    .pack_s8 = tody_pack_s8_neon_i8mm,
};

#endif
