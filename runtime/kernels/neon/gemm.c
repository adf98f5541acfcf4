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

INLINE sum add(sum s, float x, float32x4_t low, float32x4_t high) {
    s.low = add_scaled(s.low, low, x);
    s.high = add_scaled(s.high, high, x);
    return s;
}

// One step in depth: a value of each row from `a` on, four apart.
INLINE block add_one(block b, const float *a, const float *w, const uint32_t count) {
    const float32x4_t low = vld1q_f32(w), high = vld1q_f32(w + 4);
    b.s0 = add(b.s0, a[0], low, high);
    if (count > 1) b.s1 = add(b.s1, a[4], low, high);
    if (count > 2) b.s2 = add(b.s2, a[8], low, high);
    if (count > 3) b.s3 = add(b.s3, a[12], low, high);
    if (count > 4) b.s4 = add(b.s4, a[16], low, high);
    if (count > 5) b.s5 = add(b.s5, a[20], low, high);
    if (count > 6) b.s6 = add(b.s6, a[24], low, high);
    if (count > 7) b.s7 = add(b.s7, a[28], low, high);
    return b;
}

#if defined(__aarch64__)

// 8 columns of one step.
typedef struct weights {
    float32x4_t low, high;
} weights;

INLINE sum add_lane(sum s, float32x4_t x, weights w, const int lane) {
    s.low = add_lane_f32(s.low, w.low, x, lane);
    s.high = add_lane_f32(s.high, w.high, x, lane);
    return s;
}

INLINE block add_lanes(block b, fours x, weights w, const uint32_t count, const int lane) {
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

// Four steps, of rows of which those of `step` / 4 are packed together. All that they need is loaded first, and takes all 32
// registers; in-order cores like the two kinds of loads mixed.
INLINE block add_four(block b, const float **a, size_t step, const float **w, const uint32_t count) {
    weights w0, w1, w2, w3;
    fours x = {0};
    load_next_pair_f32(w, 256, &w0.low, &w0.high);
    load_first_f32(&x, a, step, count);
    load_pair_f32(*w, -192, &w1.low, &w1.high);
    load_last_f32(&x, a, step, count);
    load_pair_f32(*w, -128, &w2.low, &w2.high);
    load_pair_f32(*w, -64, &w3.low, &w3.high);
    b = add_lanes(b, x, w0, count, 0);
    b = add_lanes(b, x, w1, count, 1);
    b = add_lanes(b, x, w2, count, 2);
    return add_lanes(b, x, w3, count, 3);
}

#else

// One step after the other: ARMv7 has no vfma by lane and no registers to spare.
INLINE block add_four(block b, const float **a, size_t step, const float **w, const uint32_t count) {
    for (size_t k = 0; k < 4; k++, *w += 16) b = add_one(b, *a + k, *w, count);
    *a += step;
    return b;
}

#endif

// Fewer than 8 columns, or a lone row.
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

INLINE sum clamp_row(sum s, float32x4_t lo, float32x4_t hi) { return (sum){clamp(s.low, lo, hi), clamp(s.high, lo, hi)}; }

INLINE block clamp_block(block b, const tody_gemm_f32 *g, const uint32_t count) {
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    b.s0 = clamp_row(b.s0, lo, hi);
    if (count > 1) b.s1 = clamp_row(b.s1, lo, hi);
    if (count > 2) b.s2 = clamp_row(b.s2, lo, hi);
    if (count > 3) b.s3 = clamp_row(b.s3, lo, hi);
    if (count > 4) b.s4 = clamp_row(b.s4, lo, hi);
    if (count > 5) b.s5 = clamp_row(b.s5, lo, hi);
    if (count > 6) b.s6 = clamp_row(b.s6, lo, hi);
    if (count > 7) b.s7 = clamp_row(b.s7, lo, hi);
    return b;
}

INLINE sum add_row(sum s, const float *addend) {
    return (sum){vaddq_f32(s.low, vld1q_f32(addend)), vaddq_f32(s.high, vld1q_f32(addend + 4))};
}

INLINE block add_addend(block b, const float *addend, const size_t stride, const uint32_t count) {
    b.s0 = add_row(b.s0, addend);
    if (count > 1) b.s1 = add_row(b.s1, addend += stride);
    if (count > 2) b.s2 = add_row(b.s2, addend += stride);
    if (count > 3) b.s3 = add_row(b.s3, addend += stride);
    if (count > 4) b.s4 = add_row(b.s4, addend += stride);
    if (count > 5) b.s5 = add_row(b.s5, addend += stride);
    if (count > 6) b.s6 = add_row(b.s6, addend += stride);
    if (count > 7) b.s7 = add_row(b.s7, addend += stride);
    return b;
}

INLINE void store_block(float *c, const size_t stride, block b, const uint32_t count) {
    store_pair_f32(c, 0, b.s0.low, b.s0.high);
    if (count > 1) store_pair_f32(c += stride, 0, b.s1.low, b.s1.high);
    if (count > 2) store_pair_f32(c += stride, 0, b.s2.low, b.s2.high);
    if (count > 3) store_pair_f32(c += stride, 0, b.s3.low, b.s3.high);
    if (count > 4) store_pair_f32(c += stride, 0, b.s4.low, b.s4.high);
    if (count > 5) store_pair_f32(c += stride, 0, b.s5.low, b.s5.high);
    if (count > 6) store_pair_f32(c += stride, 0, b.s6.low, b.s6.high);
    if (count > 7) store_pair_f32(c += stride, 0, b.s7.low, b.s7.high);
}

// Of slices of a sum, and of what Winograd's way multiplies, nothing is cut off.
static inline bool is_bounded(const tody_gemm_f32 *g) { return g->lo > -__builtin_inff() || g->hi < __builtin_inff(); }

INLINE void finish_block(const tody_gemm_f32 *g, uint32_t column, block b, const uint32_t count, const bool bounded) {
    if (g->cols < column + 8) {
        finish_part(g, column, (const sum[]){b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7});
        return;
    }
    if (g->addend) b = add_addend(b, g->addend + column, g->addend_stride, count);
    if (bounded) b = clamp_block(b, g, count);
    store_block(g->c + column, g->c_stride, b, count);
}

INLINE sum load_sum(const float *p) {
    sum s;
    load_pair_f32(p, 0, &s.low, &s.high);
    return s;
}

INLINE const float *weights_of(const tody_gemm_f32 *g, uint32_t column) {
    return g->w + column / 16 * g->w_stride + column % 16;
}

static const float *bias_of(const tody_gemm_f32 *g, uint32_t column) {
    static const float zeros[8];
    return g->bias ? g->bias + column : zeros;
}

// Each row's sums are loaded: to copy those of the first would take twice as many instructions.
INLINE block start(const float *bias, const uint32_t count) {
    block b;
    b.s0 = b.s1 = b.s2 = b.s3 = b.s4 = b.s5 = b.s6 = b.s7 = load_sum(bias);
    if (count > 1) b.s1 = load_sum(bias);
    if (count > 2) b.s2 = load_sum(bias);
    if (count > 3) b.s3 = load_sum(bias);
    if (count > 4) b.s4 = load_sum(bias);
    if (count > 5) b.s5 = load_sum(bias);
    if (count > 6) b.s6 = load_sum(bias);
    if (count > 7) b.s7 = load_sum(bias);
    return b;
}

// `count` rows by 8 columns.
INLINE void tile(const tody_gemm_f32 *g, const uint32_t count, uint32_t column, const bool bounded) {
    block b = start(bias_of(g, column), count);
    const float *w = weights_of(g, column), *a = g->packed;
    const size_t fours = g->depth / 4, rest = g->depth % 4, step = (size_t)g->packed_rows * 4;
    uint32_t taps = g->taps;
    do {
        for (size_t k = fours / 4; k > 0; k--)
            b = add_four(add_four(add_four(add_four(b, &a, step, &w, count), &a, step, &w, count), &a, step, &w, count), &a,
                         step, &w, count);
        for (size_t k = fours % 4; k > 0; k--) b = add_four(b, &a, step, &w, count);
        if (rest == 0) continue;
        for (size_t k = 0; k < rest; k++, w += 16) b = add_one(b, a + k, w, count);
        a += step;
    } while (--taps > 0);
    finish_block(g, column, b, count, bounded);
}

// One row: its depth is dealt out to four sums, because one can only be added to every fourth cycle.
static void lone_part(const tody_gemm_f32 *g, uint32_t column) {
    const sum zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    sum s0 = load_sum(bias_of(g, column)), s1 = zero, s2 = zero, s3 = zero;
    const float *w = weights_of(g, column);
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

static void lone_row(const tody_gemm_f32 *g) {
    for (uint32_t column = 0; column < g->cols; column += 8) lone_part(g, column);
}

INLINE void tiles(const tody_gemm_f32 *g, const uint32_t count) {
    const bool bounded = is_bounded(g);
    for (uint32_t column = 0; column < g->cols; column += 8) tile(g, count, column, bounded);
}

static void few_rows(const tody_gemm_f32 *g) {
    switch (g->rows) {
        case 1: lone_row(g); break;
        case 2: tiles(g, 2); break;
        case 3: tiles(g, 3); break;
        default: tiles(g, 4); break;
    }
}

static void many_rows(const tody_gemm_f32 *g) {
    switch (g->rows) {
        case 5: tiles(g, 5); break;
        case 6: tiles(g, 6); break;
        case 7: tiles(g, 7); break;
        default: tiles(g, 8); break;
    }
}

void tody_gemm_f32_neon(const tody_gemm_f32 *args) {
    if (GEMM_ROWS > 4 && args->rows > 4)
        many_rows(args);
    else
        few_rows(args);
}
