// gemm_s8_i8mm.c - int8 matrix product by products of 2x8 by 8x2 (smmla, Armv8.6): 4 pairs of rows by 4 of columns in
// registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

#if defined(__ARM_FEATURE_MATMUL_INT8)

enum { TILE = 8, HALVES = 1 };

#include "gemm_s8.h"

// Two rows by 8 columns: each vector has two columns of one row, then of the other.
typedef struct pair {
    int32x4_t v0, v1, v2, v3;
} pair;

// Eight values of depth of 8 columns, two of them in each vector.
typedef struct weights {
    int8x16_t v0, v1, v2, v3;
} weights;

// Values of depth of two rows: the first eight of each, then the next.
typedef struct lines {
    int8x16_t near, far;
} lines;

static sums look(columns *c) { return sum_weights(c->w, c->groups); }

INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

// Two groups of four of a panel.
INLINE weights load_two(const int8_t *w) {
    const int8x16_t a = vld1q_s8(w), b = vld1q_s8(w + 16), c = vld1q_s8(w + 64), d = vld1q_s8(w + 80);
    return (weights){zip_low(a, c), zip_high(a, c), zip_low(b, d), zip_high(b, d)};
}

// One group, the other being zero.
INLINE weights load_one(const int8_t *w) {
    const int8x16_t a = vld1q_s8(w), b = vld1q_s8(w + 16), zero = vdupq_n_s8(0);
    return (weights){zip_low(a, zero), zip_high(a, zero), zip_low(b, zero), zip_high(b, zero)};
}

INLINE lines load_lines(const int8_t *a, const int8_t *b) {
    const int64x2_t x = vreinterpretq_s64_s8(vld1q_s8(a)), y = vreinterpretq_s64_s8(vld1q_s8(b));
    return (lines){vreinterpretq_s8_s64(vzip1q_s64(x, y)), vreinterpretq_s8_s64(vzip2q_s64(x, y))};
}

// One group of two rows, the other being zero.
INLINE int8x16_t load_group(const int8_t *a, const int8_t *b) {
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return vreinterpretq_s8_s64(vcombine_s64(vcreate_s64(x), vcreate_s64(y)));
}

INLINE pair add(pair p, int8x16_t x, weights w) {
    p.v0 = vmmlaq_s32(p.v0, x, w.v0);
    p.v1 = vmmlaq_s32(p.v1, x, w.v1);
    p.v2 = vmmlaq_s32(p.v2, x, w.v2);
    p.v3 = vmmlaq_s32(p.v3, x, w.v3);
    return p;
}

INLINE int32x4_t join_first(int32x4_t a, int32x4_t b) { return vcombine_s32(vget_low_s32(a), vget_low_s32(b)); }
INLINE int32x4_t join_second(int32x4_t a, int32x4_t b) { return vcombine_s32(vget_high_s32(a), vget_high_s32(b)); }

// What a w_zero adds.
static pair add_starts(pair p, const int32_t *starts) {
    const int32x2_t two = vld1_s32(starts);
    const int32x4_t both = vzip1q_s32(vcombine_s32(two, two), vcombine_s32(two, two));
    return (pair){vaddq_s32(p.v0, both), vaddq_s32(p.v1, both), vaddq_s32(p.v2, both), vaddq_s32(p.v3, both)};
}

// Of an odd number of rows the last one is its own partner.
INLINE void products(const tody_gemm_s8 *g, const columns *c, const int8_t *x, uint32_t rows, const uint32_t pairs, pair *p) {
    const int32x4_t low = c->start.low, high = c->start.high;
    const pair begin = {join_first(low, low), join_second(low, low), join_first(high, high), join_second(high, high)};
    const int8_t *a[TILE], *w = c->w;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 2 * pairs; i++) a[i] = x + (i < rows ? i : rows - 1) * g->packed_stride;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < pairs; i++) p[i] = begin;
    if (g->layer.w_zero) {
        int32_t starts[TILE] = {0};
        row_starts(g, x, rows, starts);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < pairs; i++) p[i] = add_starts(p[i], starts + 2 * i);
    }
    size_t at = 0, left = c->groups;
    for (; left >= 4; left -= 4, at += 16, w += 256) {
        const weights near = load_two(w);
        int8x16_t rest[TILE / 2];
#pragma GCC unroll 4
        for (uint32_t i = 0; i < pairs; i++) {
            const lines l = load_lines(a[2 * i] + at, a[2 * i + 1] + at);
            p[i] = add(p[i], l.near, near);
            rest[i] = l.far;
        }
        __asm__ volatile("" : : : "memory");  // gcc would load these first and run out of registers
        const weights far = load_two(w + 128);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < pairs; i++) p[i] = add(p[i], rest[i], far);
    }
    for (; left > 0; left--, at += 4, w += 64) {
        const weights one = load_one(w);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < pairs; i++) p[i] = add(p[i], load_group(a[2 * i] + at, a[2 * i + 1] + at), one);
    }
}

INLINE void tiles_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, const uint32_t pairs,
                     uint32_t count, places to, const bool plain) {
    const results r = results_of(g, c, 1);
    for (; count > 0; count--, a += rows * g->packed_stride) {
        pair p[TILE / 2];
        products(g, c, a, rows, pairs, p);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < pairs; i++) {
            const sums s = {join_first(p[i].v0, p[i].v1), join_first(p[i].v2, p[i].v3)};
            const sums t = {join_second(p[i].v0, p[i].v1), join_second(p[i].v2, p[i].v3)};
            if (2 * i + 1 < rows)
                finish_half(&to, s, t, 2, &r, plain);
            else
                finish_half(&to, s, t, 1, &r, plain);
        }
    }
}

INLINE void tiles_where(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, uint32_t count, places to,
                        const bool plain) {
    switch ((rows + 1) / 2) {
        case 1: tiles_of(g, c, a, rows, 1, count, to, plain); break;
        case 2: tiles_of(g, c, a, rows, 2, count, to, plain); break;
        case 3: tiles_of(g, c, a, rows, 3, count, to, plain); break;
        default: tiles_of(g, c, a, rows, 4, count, to, plain); break;
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

static void run(const tody_gemm_s8 *args) { run_block(args); }

const tody_kernels tody_kernels_neon_i8mm = {
    .name = "neon_i8mm",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_DOT | TODY_CPU_NEON_I8MM,
    .gemm_s8_rows = TILE,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8_block = 2 * TODY_BLOCK_ROWS,
    .gemm_s8_plain = true,
    .gemm_s8 = run,
    .pack_s8 = tody_pack_s8_neon,
};

#endif
