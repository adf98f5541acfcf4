// gemm_block.h - 8 rows (ARMv7: 4) by 8 columns of sums in registers: how they begin, and how they end.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_GEMM_BLOCK_H
#define TODY_NEON_GEMM_BLOCK_H

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

INLINE sum load_sum(const float *p) {
    sum s;
    load_pair_f32(p, 0, &s.low, &s.high);
    return s;
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

// Bounds from below and from above: most activations have one of them.
INLINE sum raise_row(sum s, float32x4_t lo) { return (sum){vmaxq_f32(s.low, lo), vmaxq_f32(s.high, lo)}; }
INLINE sum lower_row(sum s, float32x4_t hi) { return (sum){vminq_f32(s.low, hi), vminq_f32(s.high, hi)}; }

INLINE block raise_block(block b, float32x4_t lo, const uint32_t count) {
    b.s0 = raise_row(b.s0, lo);
    if (count > 1) b.s1 = raise_row(b.s1, lo);
    if (count > 2) b.s2 = raise_row(b.s2, lo);
    if (count > 3) b.s3 = raise_row(b.s3, lo);
    if (count > 4) b.s4 = raise_row(b.s4, lo);
    if (count > 5) b.s5 = raise_row(b.s5, lo);
    if (count > 6) b.s6 = raise_row(b.s6, lo);
    if (count > 7) b.s7 = raise_row(b.s7, lo);
    return b;
}

INLINE block lower_block(block b, float32x4_t hi, const uint32_t count) {
    b.s0 = lower_row(b.s0, hi);
    if (count > 1) b.s1 = lower_row(b.s1, hi);
    if (count > 2) b.s2 = lower_row(b.s2, hi);
    if (count > 3) b.s3 = lower_row(b.s3, hi);
    if (count > 4) b.s4 = lower_row(b.s4, hi);
    if (count > 5) b.s5 = lower_row(b.s5, hi);
    if (count > 6) b.s6 = lower_row(b.s6, hi);
    if (count > 7) b.s7 = lower_row(b.s7, hi);
    return b;
}

INLINE sum add_row(sum s, const float **addend, const size_t stride, const int row) {
    sum more;
    load_row_f32(addend, stride, &more.low, &more.high, row);
    return (sum){vaddq_f32(s.low, more.low), vaddq_f32(s.high, more.high)};
}

INLINE block add_addend(block b, const float *addend, const size_t stride, const uint32_t count) {
    b.s0 = add_row(b.s0, &addend, stride, 0);
    if (count > 1) b.s1 = add_row(b.s1, &addend, stride, 1);
    if (count > 2) b.s2 = add_row(b.s2, &addend, stride, 2);
    if (count > 3) b.s3 = add_row(b.s3, &addend, stride, 3);
    if (count > 4) b.s4 = add_row(b.s4, &addend, stride, 4);
    if (count > 5) b.s5 = add_row(b.s5, &addend, stride, 5);
    if (count > 6) b.s6 = add_row(b.s6, &addend, stride, 6);
    if (count > 7) b.s7 = add_row(b.s7, &addend, stride, 7);
    return b;
}

INLINE void store_block(float *c, const size_t stride, block b, const uint32_t count) {
    store_row_f32(&c, stride, b.s0.low, b.s0.high, 0);
    if (count > 1) store_row_f32(&c, stride, b.s1.low, b.s1.high, 1);
    if (count > 2) store_row_f32(&c, stride, b.s2.low, b.s2.high, 2);
    if (count > 3) store_row_f32(&c, stride, b.s3.low, b.s3.high, 3);
    if (count > 4) store_row_f32(&c, stride, b.s4.low, b.s4.high, 4);
    if (count > 5) store_row_f32(&c, stride, b.s5.low, b.s5.high, 5);
    if (count > 6) store_row_f32(&c, stride, b.s6.low, b.s6.high, 6);
    if (count > 7) store_row_f32(&c, stride, b.s7.low, b.s7.high, 7);
}

#endif
