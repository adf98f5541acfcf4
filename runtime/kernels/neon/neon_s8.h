// neon_s8.h - what the int8 NEON kernels share: four sums at a time, and eight results.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_S8_H
#define TODY_NEON_S8_H

#include <string.h>

#include "kernels/sums_s8.h"
#include "neon.h"

// Constants after inlining are marked const. Structs of variables and not arrays, which gcc 12 would keep in memory.
#define INLINE static inline __attribute__((always_inline))

// 8 int32 sums.
typedef struct sums {
    int32x4_t low, high;
} sums;

// Four values of depth, of which the first `count` are there: the others are x_zero, which adds nothing to a sum.
INLINE int32_t load_four(const int8_t *a, uint32_t count, int32_t x_zero) {
    int8_t x[4];
    int32_t four;
    if (count >= 4) {
        memcpy(&four, a, sizeof four);
        return four;
    }
    for (uint32_t k = 0; k < 4; k++) x[k] = k < count ? a[k] : (int8_t)x_zero;
    memcpy(&four, x, sizeof four);
    return four;
}

// min(max(p, lo), hi) + zero, rounded half to even: adding 1.5 * 2^23 rounds on every machine; ARMv7 has no other way.
INLINE int32x4_t round_s8(float32x4_t p, const tody_finish_s8 *f) {
    p = clamp(p, vdupq_n_f32(f->lo), vdupq_n_f32(f->hi));
    const int32x4_t bits = vreinterpretq_s32_f32(vaddq_f32(p, vdupq_n_f32(12582912.0f)));
    return vaddq_s32(bits, vdupq_n_s32(f->zero - 0x4B400000));
}

// Four of tody_result_s8.
INLINE int32x4_t result_s8(int32x4_t sum, float32x4_t scale, bool with_addend, int16x4_t addend, const tody_layer_s8 *q) {
    float32x4_t p = vmulq_f32(vcvtq_f32_s32(sum), scale);
    if (with_addend) p = vaddq_f32(p, vmulq_f32(vcvtq_f32_s32(vmovl_s16(addend)), vdupq_n_f32(q->addend_scale)));
    return round_s8(p, &q->finish);
}

// The first `count` of eight results; scale has 8 multipliers, addend (or NULL) `count` values.
INLINE void finish_s8(int8_t *c, size_t count, sums s, const float *scale, const int8_t *addend, const tody_layer_s8 *q) {
    int8_t part[8] = {0};
    int16x8_t added = vdupq_n_s16(0);
    if (addend) {
        if (count < 8) memcpy(part, addend, count);
        added = vsubl_s8(vld1_s8(count < 8 ? part : addend), vdup_n_s8((int8_t)q->addend_zero));
    }
    const int32x4_t low = result_s8(s.low, vld1q_f32(scale), addend, vget_low_s16(added), q);
    const int32x4_t high = result_s8(s.high, vld1q_f32(scale + 4), addend, vget_high_s16(added), q);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high)));
    if (count >= 8) {
        vst1_s8(c, bytes);
        return;
    }
    vst1_s8(part, bytes);
    memcpy(c, part, count);
}

// Sums of row i from what its products came to: bias and zero points are still missing. `weights` are the sums of the columns.
INLINE sums complete(const tody_gemm_s8 *g, uint32_t i, uint32_t column, sums products, sums weights) {
    const int32x4_t start = vdupq_n_s32(tody_row_start_s8(g, i)), zero = vdupq_n_s32(g->layer.x_zero);
    sums s = {vaddq_s32(vmlsq_s32(products.low, weights.low, zero), start),
              vaddq_s32(vmlsq_s32(products.high, weights.high, zero), start)};
    if (g->bias) {
        s.low = vaddq_s32(s.low, vld1q_s32(g->bias + column));
        s.high = vaddq_s32(s.high, vld1q_s32(g->bias + column + 4));
    }
    return s;
}

INLINE void finish_row(const tody_gemm_s8 *g, uint32_t i, uint32_t column, sums products, sums weights) {
    const int8_t *addend = g->addend ? g->addend + i * g->addend_stride + column : NULL;
    finish_s8(g->c + i * g->c_stride + column, g->cols - column, complete(g, i, column, products, weights), g->scale + column,
              addend, &g->layer);
}

#endif
