// gemm_block.h - 8 rows (ARMv7: 4) by 8 columns of sums in registers: how they begin, and how they end.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_GEMM_BLOCK_H
#define TODY_NEON_GEMM_BLOCK_H

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

// The same of up to four rows by 16 columns, of which two sums are a row.
INLINE block start_wide(const float *bias, const uint32_t count) {
    block b;
    b.s0 = b.s2 = b.s4 = b.s6 = load_sum(bias);
    b.s1 = b.s3 = b.s5 = b.s7 = load_sum(bias + 8);
    if (count > 1) b.s2 = load_sum(bias), b.s3 = load_sum(bias + 8);
    if (count > 2) b.s4 = load_sum(bias), b.s5 = load_sum(bias + 8);
    if (count > 3) b.s6 = load_sum(bias), b.s7 = load_sum(bias + 8);
    return b;
}

// Bounds from below (RAISED) or from above: most activations have one of them.
INLINE sum bound_row(sum s, float32x4_t x, const uint32_t bound) {
    return bound == RAISED ? (sum){vmaxq_f32(s.low, x), vmaxq_f32(s.high, x)}
                           : (sum){vminq_f32(s.low, x), vminq_f32(s.high, x)};
}

INLINE block bound_block(block b, float32x4_t x, const uint32_t bound, const uint32_t count) {
    b.s0 = bound_row(b.s0, x, bound);
    if (count > 1) b.s1 = bound_row(b.s1, x, bound);
    if (count > 2) b.s2 = bound_row(b.s2, x, bound);
    if (count > 3) b.s3 = bound_row(b.s3, x, bound);
    if (count > 4) b.s4 = bound_row(b.s4, x, bound);
    if (count > 5) b.s5 = bound_row(b.s5, x, bound);
    if (count > 6) b.s6 = bound_row(b.s6, x, bound);
    if (count > 7) b.s7 = bound_row(b.s7, x, bound);
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

INLINE block add_addend_wide(block b, const float *addend, const size_t stride, const uint32_t count) {
    const float *far = addend + 8;
    b.s0 = add_row(b.s0, &addend, stride, 0), b.s1 = add_row(b.s1, &far, stride, 1);
    if (count > 1) b.s2 = add_row(b.s2, &addend, stride, 2), b.s3 = add_row(b.s3, &far, stride, 3);
    if (count > 2) b.s4 = add_row(b.s4, &addend, stride, 4), b.s5 = add_row(b.s5, &far, stride, 5);
    if (count > 3) b.s6 = add_row(b.s6, &addend, stride, 6), b.s7 = add_row(b.s7, &far, stride, 7);
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

INLINE void store_wide(float *c, const size_t stride, block b, const uint32_t count) {
    float *far = c + 8;
    store_row_f32(&c, stride, b.s0.low, b.s0.high, 0), store_row_f32(&far, stride, b.s1.low, b.s1.high, 1);
    if (count > 1) store_row_f32(&c, stride, b.s2.low, b.s2.high, 2), store_row_f32(&far, stride, b.s3.low, b.s3.high, 3);
    if (count > 2) store_row_f32(&c, stride, b.s4.low, b.s4.high, 4), store_row_f32(&far, stride, b.s5.low, b.s5.high, 5);
    if (count > 3) store_row_f32(&c, stride, b.s6.low, b.s6.high, 6), store_row_f32(&far, stride, b.s7.low, b.s7.high, 7);
}

#endif
