// gemm.c - matrix product on panels of 16 columns, half a panel at a time: 8 rows (ARMv7: 4) by 8 columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

// Constants after inlining are marked const. Structs of variables and not arrays, which gcc 12 would keep in memory.
#define INLINE static inline __attribute__((always_inline))

// 8 columns of one row.
typedef struct sum {
    float32x4_t low, high;
} sum;

typedef struct block {
    sum s0, s1, s2, s3, s4, s5, s6, s7;
} block;

// Four values of depth of each row.
typedef struct quads {
    float32x4_t x0, x1, x2, x3, x4, x5, x6, x7;
} quads;

INLINE sum add(sum s, float x, float32x4_t w_low, float32x4_t w_high) {
    s.low = add_scaled(s.low, w_low, x);
    s.high = add_scaled(s.high, w_high, x);
    return s;
}

INLINE block add_lane(block b, quads x, const float *w, const uint32_t rows, const int lane) {
    const float32x4_t low = vld1q_f32(w + 16 * lane), high = vld1q_f32(w + 16 * lane + 4);
    b.s0 = add(b.s0, x.x0[lane], low, high);
    if (rows > 1) b.s1 = add(b.s1, x.x1[lane], low, high);
    if (rows > 2) b.s2 = add(b.s2, x.x2[lane], low, high);
    if (rows > 3) b.s3 = add(b.s3, x.x3[lane], low, high);
    if (rows > 4) b.s4 = add(b.s4, x.x4[lane], low, high);
    if (rows > 5) b.s5 = add(b.s5, x.x5[lane], low, high);
    if (rows > 6) b.s6 = add(b.s6, x.x6[lane], low, high);
    if (rows > 7) b.s7 = add(b.s7, x.x7[lane], low, high);
    return b;
}

// One value of each row, in lane 0.
INLINE quads load_one(const float *const *a, size_t k, const uint32_t rows) {
    return (quads){
        vdupq_n_f32(a[0 % rows][k]), vdupq_n_f32(a[1 % rows][k]), vdupq_n_f32(a[2 % rows][k]), vdupq_n_f32(a[3 % rows][k]),
        vdupq_n_f32(a[4 % rows][k]), vdupq_n_f32(a[5 % rows][k]), vdupq_n_f32(a[6 % rows][k]), vdupq_n_f32(a[7 % rows][k]),
    };
}

static void finish_rows(const tody_gemm_f32 *g, uint32_t column, const sum *sums) {
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    const size_t cols = g->cols - column;
    for (uint32_t i = 0; i < g->rows; i++) {
        float *c = g->c + i * g->c_stride + column;
        const float *addend = g->addend ? g->addend + i * g->addend_stride + column : NULL;
        finish(c, cols, sums[i].low, addend, lo, hi);
        if (cols > 4) finish(c + 4, cols - 4, sums[i].high, addend ? addend + 4 : NULL, lo, hi);
    }
}

INLINE sum bias_of(const tody_gemm_f32 *g, uint32_t column) {
    const sum zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    return g->bias ? (sum){vld1q_f32(g->bias + column), vld1q_f32(g->bias + column + 4)} : zero;
}

INLINE void tile(const tody_gemm_f32 *g, const uint32_t rows, uint32_t column) {
    const sum bias = bias_of(g, column);
    block b = {bias, bias, bias, bias, bias, bias, bias, bias};
    const float *w = g->w + column;
    const float *const *a = g->a;
    for (uint32_t t = 0; t < g->taps; t++, a += rows) {
        const float *a0 = a[0], *a1 = a[1 % rows], *a2 = a[2 % rows], *a3 = a[3 % rows], *a4 = a[4 % rows], *a5 = a[5 % rows],
                    *a6 = a[6 % rows], *a7 = a[7 % rows];
        size_t k = 0;
        for (; GEMM_LANES == 4 && k + 4 <= g->depth; k += 4, w += 64) {
            const quads x = {vld1q_f32(a0 + k), vld1q_f32(a1 + k), vld1q_f32(a2 + k), vld1q_f32(a3 + k),
                             vld1q_f32(a4 + k), vld1q_f32(a5 + k), vld1q_f32(a6 + k), vld1q_f32(a7 + k)};
            b = add_lane(b, x, w, rows, 0);
            b = add_lane(b, x, w, rows, 1);
            b = add_lane(b, x, w, rows, 2);
            b = add_lane(b, x, w, rows, 3);
        }
        for (; k < g->depth; k++, w += 16) b = add_lane(b, load_one(a, k, rows), w, rows, 0);
    }
    const sum sums[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7};
    finish_rows(g, column, sums);
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
    finish_rows(g, column, &s0);
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
