// gemm_steps.h - steps in depth of a block of sums: a weight of each column times a value of each row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_GEMM_STEPS_H
#define TODY_NEON_GEMM_STEPS_H

#include "gemm_block.h"

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

// The same of up to four rows by 16 columns, of which two sums of the block are a row.
INLINE block add_one_wide(block b, const float *a, const float *w, const uint32_t count) {
    const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4), w2 = vld1q_f32(w + 8), w3 = vld1q_f32(w + 12);
    b.s0 = add(b.s0, a[0], w0, w1), b.s1 = add(b.s1, a[0], w2, w3);
    if (count > 1) b.s2 = add(b.s2, a[4], w0, w1), b.s3 = add(b.s3, a[4], w2, w3);
    if (count > 2) b.s4 = add(b.s4, a[8], w0, w1), b.s5 = add(b.s5, a[8], w2, w3);
    if (count > 3) b.s6 = add(b.s6, a[12], w0, w1), b.s7 = add(b.s7, a[12], w2, w3);
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

INLINE block add_wide_lanes(block b, fours x, const float32x4_t w[4], const uint32_t count, const int lane) {
    const weights near = {w[0], w[1]}, far = {w[2], w[3]};
    b.s0 = add_lane(b.s0, x.x0, near, lane), b.s1 = add_lane(b.s1, x.x0, far, lane);
    if (count > 1) b.s2 = add_lane(b.s2, x.x1, near, lane), b.s3 = add_lane(b.s3, x.x1, far, lane);
    if (count > 2) b.s4 = add_lane(b.s4, x.x2, near, lane), b.s5 = add_lane(b.s5, x.x2, far, lane);
    if (count > 3) b.s6 = add_lane(b.s6, x.x3, near, lane), b.s7 = add_lane(b.s7, x.x3, far, lane);
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

// The same of wide rows: all weights of a step are one load, and those of the next one are on their way while it is multiplied.
INLINE block add_four_wide(block b, const float **a, size_t step, const float **w, const uint32_t count) {
    float32x4_t w0[4], w1[4], w2[4], w3[4];
    fours x = {0};
    load_first_f32(&x, a, step, count);
    load_four_f32(w0, w, false);
    load_four_f32(w1, w, true);
    b = add_wide_lanes(b, x, w0, count, 0);
    load_four_f32(w2, w, false);
    b = add_wide_lanes(b, x, w1, count, 1);
    load_four_f32(w3, w, true);
    b = add_wide_lanes(b, x, w2, count, 2);
    return add_wide_lanes(b, x, w3, count, 3);
}

#else

// One step after the other: ARMv7 has no vfma by lane and no registers to spare.
INLINE block add_four(block b, const float **a, size_t step, const float **w, const uint32_t count) {
    for (size_t k = 0; k < 4; k++, *w += 16) b = add_one(b, *a + k, *w, count);
    *a += step;
    return b;
}

INLINE block add_four_wide(block b, const float **a, size_t step, const float **w, const uint32_t count) {
    for (size_t k = 0; k < 4; k++, *w += 16) b = add_one_wide(b, *a + k, *w, count);
    *a += step;
    return b;
}

#endif

#endif
