// gemm.c - matrix product on panels of 16 columns, half a panel at a time: 8 rows (ARMv7: 4) by 8 columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"
#include "schedule.h"

// Constants after inlining are marked const. Structs of variables and not arrays, which gcc 12 would keep in memory.
#define INLINE static inline __attribute__((always_inline))

// 8 columns of one row.
typedef struct sum {
    float32x4_t low, high;
} sum;

typedef struct block {
    sum s0, s1, s2, s3, s4, s5, s6, s7;
} block;

// The rows of one tap.
typedef struct rows {
    const float *a0, *a1, *a2, *a3, *a4, *a5, *a6, *a7;
} rows;

INLINE rows rows_of(const float *const *a, const uint32_t count) {
    return (rows){a[0], a[1 % count], a[2 % count], a[3 % count], a[4 % count], a[5 % count], a[6 % count], a[7 % count]};
}

INLINE sum add(sum s, float x, float32x4_t low, float32x4_t high) {
    s.low = add_scaled(s.low, low, x);
    s.high = add_scaled(s.high, high, x);
    return s;
}

// One step in depth.
INLINE block add_one(block b, rows r, size_t k, const float *w, const uint32_t count) {
    const float32x4_t low = vld1q_f32(w), high = vld1q_f32(w + 4);
    b.s0 = add(b.s0, r.a0[k], low, high);
    if (count > 1) b.s1 = add(b.s1, r.a1[k], low, high);
    if (count > 2) b.s2 = add(b.s2, r.a2[k], low, high);
    if (count > 3) b.s3 = add(b.s3, r.a3[k], low, high);
    if (count > 4) b.s4 = add(b.s4, r.a4[k], low, high);
    if (count > 5) b.s5 = add(b.s5, r.a5[k], low, high);
    if (count > 6) b.s6 = add(b.s6, r.a6[k], low, high);
    if (count > 7) b.s7 = add(b.s7, r.a7[k], low, high);
    return b;
}

#if defined(__aarch64__)

// 8 columns of one step.
typedef struct weights {
    float32x4_t low, high;
} weights;

// Four values of depth of each row.
typedef struct quads {
    float32x4_t x0, x1, x2, x3, x4, x5, x6, x7;
} quads;

INLINE sum add_lane(sum s, float32x4_t x, weights w, const int lane) {
    s.low = add_lane_f32(s.low, w.low, x, lane);
    s.high = add_lane_f32(s.high, w.high, x, lane);
    return s;
}

INLINE block add_lanes(block b, quads x, weights w, const uint32_t count, const int lane) {
    b.s0 = add_lane(b.s0, x.x0, w, lane);
    if (count > 1) b.s1 = add_lane(b.s1, x.x1, w, lane);
    if (count > 2) b.s2 = add_lane(b.s2, x.x2, w, lane);
    if (count > 3) b.s3 = add_lane(b.s3, x.x3, w, lane);
    if (count > 4) b.s4 = add_lane(b.s4, x.x4, w, lane);
    if (count > 5) b.s5 = add_lane(b.s5, x.x5, w, lane);
    if (count > 6) b.s6 = add_lane(b.s6, x.x6, w, lane);
    if (count > 7) b.s7 = add_lane(b.s7, x.x7, w, lane);
    return b;
}

// `at` in bytes.
INLINE quads load_quads(rows r, size_t at, const uint32_t count) {
    quads x = {.x0 = load_f32(r.a0, at)};
    if (count > 1) x.x1 = load_f32(r.a1, at);
    if (count > 2) x.x2 = load_f32(r.a2, at);
    if (count > 3) x.x3 = load_f32(r.a3, at);
    if (count > 4) x.x4 = load_f32(r.a4, at);
    if (count > 5) x.x5 = load_f32(r.a5, at);
    if (count > 6) x.x6 = load_f32(r.a6, at);
    if (count > 7) x.x7 = load_f32(r.a7, at);
    return x;
}

// Four steps. What the first products need is loaded first, and takes all 32 registers.
INLINE block add_four(block b, rows r, size_t at, const float *w, const uint32_t count) {
    weights w0, w1, w2, w3;
    load_pair_f32(w, 0, &w0.low, &w0.high);
    const quads x = load_quads(r, at, count);
    load_pair_f32(w, 64, &w1.low, &w1.high);
    load_pair_f32(w, 128, &w2.low, &w2.high);
    load_pair_f32(w, 192, &w3.low, &w3.high);
    b = add_lanes(b, x, w0, count, 0);
    b = add_lanes(b, x, w1, count, 1);
    b = add_lanes(b, x, w2, count, 2);
    return add_lanes(b, x, w3, count, 3);
}

// All whole fours of one tap.
INLINE block add_fours(block b, rows r, size_t depth, const float *w, const uint32_t count) {
    const size_t end = depth / 4 * 16;
    for (size_t at = 0; at < end; at += 16, w += 64) b = add_four(b, r, at, w, count);
    return b;
}

#else

// One step after the other: ARMv7 has no vfma by lane and no registers to spare.
INLINE block add_fours(block b, rows r, size_t depth, const float *w, const uint32_t count) {
    for (size_t k = 0; k < depth / 4 * 4; k++, w += 16) b = add_one(b, r, k, w, count);
    return b;
}

#endif

// Fewer than 8 columns, or an addend.
static void finish_part(const tody_gemm_f32 *g, uint32_t column, const sum *sums) {
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    const size_t cols = g->cols - column;
    for (uint32_t i = 0; i < g->rows; i++) {
        float *c = g->c + i * g->c_stride + column;
        const float *addend = g->addend ? g->addend + i * g->addend_stride + column : NULL;
        finish(c, cols, sums[i].low, addend, lo, hi);
        if (cols > 4) finish(c + 4, cols - 4, sums[i].high, addend ? addend + 4 : NULL, lo, hi);
    }
}

INLINE void finish_block(const tody_gemm_f32 *g, uint32_t column, block b, const uint32_t count) {
    const sum sums[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7};
    if (g->addend || g->cols < column + 8) {
        finish_part(g, column, sums);
        return;
    }
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    float *c = g->c + column;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < count; i++, c += g->c_stride) {
        vst1q_f32(c, clamp(sums[i].low, lo, hi));
        vst1q_f32(c + 4, clamp(sums[i].high, lo, hi));
    }
}

INLINE sum bias_of(const tody_gemm_f32 *g, uint32_t column) {
    const sum zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    return g->bias ? (sum){vld1q_f32(g->bias + column), vld1q_f32(g->bias + column + 4)} : zero;
}

INLINE void tile(const tody_gemm_f32 *g, const uint32_t count, uint32_t column) {
    const sum bias = bias_of(g, column);
    block b = {bias, bias, bias, bias, bias, bias, bias, bias};
    const float *w = g->w + column;
    const size_t depth = g->depth, fours = depth / 4 * 4;
    for (uint32_t t = 0; t < g->taps; t++, w += depth * 16) {
        const rows r = rows_of(g->a + (size_t)t * count, count);
        b = add_fours(b, r, depth, w, count);
        for (size_t k = fours; k < depth; k++) b = add_one(b, r, k, w + k * 16, count);
    }
    finish_block(g, column, b, count);
}

// One row: its depth is dealt out to four sums, because one can only be added to every fourth cycle.
static void lone_row(const tody_gemm_f32 *g, uint32_t column) {
    const sum zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    sum s0 = bias_of(g, column), s1 = zero, s2 = zero, s3 = zero;
    const float *w = g->w + column;
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a = g->a[t];
        size_t k = 0;
        for (; k + 4 <= g->depth; k += 4, w += 64) {
            const float32x4_t x = vld1q_f32(a + k);
            s0 = add(s0, x[0], vld1q_f32(w), vld1q_f32(w + 4));
            s1 = add(s1, x[1], vld1q_f32(w + 16), vld1q_f32(w + 20));
            s2 = add(s2, x[2], vld1q_f32(w + 32), vld1q_f32(w + 36));
            s3 = add(s3, x[3], vld1q_f32(w + 48), vld1q_f32(w + 52));
        }
        for (; k < g->depth; k++, w += 16) s0 = add(s0, a[k], vld1q_f32(w), vld1q_f32(w + 4));
    }
    s0.low = vaddq_f32(vaddq_f32(vaddq_f32(s0.low, s1.low), s2.low), s3.low);
    s0.high = vaddq_f32(vaddq_f32(vaddq_f32(s0.high, s1.high), s2.high), s3.high);
    finish_part(g, column, &s0);
}

static void small_tile(const tody_gemm_f32 *g, uint32_t column) {
    switch (g->rows) {
        case 1: lone_row(g, column); break;
        case 2: tile(g, 2, column); break;
        case 3: tile(g, 3, column); break;
        default: tile(g, 4, column); break;
    }
}

static void large_tile(const tody_gemm_f32 *g, uint32_t column) {
    switch (g->rows) {
        case 5: tile(g, 5, column); break;
        case 6: tile(g, 6, column); break;
        case 7: tile(g, 7, column); break;
        default: tile(g, 8, column); break;
    }
}

void tody_gemm_f32_neon(const tody_gemm_f32 *args) {
    for (uint32_t column = 0; column < args->cols; column += 8) {
        if (GEMM_ROWS > 4 && args->rows > 4) {
            large_tile(args, column);
        } else {
            small_tile(args, column);
        }
    }
}
