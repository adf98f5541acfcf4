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

#if defined(__aarch64__)

// min(max(p, lo), hi) + zero of eight results, rounded half to even. The bounds are integers, so they may come after rounding.
INLINE int8x8_t narrow_s8(float32x4_t low, float32x4_t high, const tody_finish_s8 *f) {
    const int16x8_t lo = vdupq_n_s16((int16_t)f->lo), hi = vdupq_n_s16((int16_t)f->hi);
    const int16x8_t rounded = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
    return vmovn_s16(vaddq_s16(vminq_s16(vmaxq_s16(rounded, lo), hi), vdupq_n_s16((int16_t)f->zero)));
}

#else

// Adding 1.5 * 2^23 rounds on every machine; ARMv7 has no other way.
INLINE int16x4_t round_s8(float32x4_t p, const tody_finish_s8 *f) {
    p = clamp(p, vdupq_n_f32(f->lo), vdupq_n_f32(f->hi));
    const int32x4_t bits = vreinterpretq_s32_f32(vaddq_f32(p, vdupq_n_f32(12582912.0f)));
    return vmovn_s32(vaddq_s32(bits, vdupq_n_s32(f->zero - 0x4B400000)));
}

INLINE int8x8_t narrow_s8(float32x4_t low, float32x4_t high, const tody_finish_s8 *f) {
    return vmovn_s16(vcombine_s16(round_s8(low, f), round_s8(high, f)));
}

#endif

// Eight of tody_result_s8.
INLINE int8x8_t results_s8(sums s, const float *scale, const int8_t *addend, const tody_layer_s8 *q) {
    float32x4_t low = vmulq_f32(vcvtq_f32_s32(s.low), vld1q_f32(scale));
    float32x4_t high = vmulq_f32(vcvtq_f32_s32(s.high), vld1q_f32(scale + 4));
    if (addend) {
        const int16x8_t added = vsubl_s8(vld1_s8(addend), vdup_n_s8((int8_t)q->addend_zero));
        const float32x4_t by = vdupq_n_f32(q->addend_scale);
        low = vaddq_f32(low, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(added))), by));
        high = vaddq_f32(high, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(added))), by));
    }
    return narrow_s8(low, high, &q->finish);
}

// The first `count` of eight results; scale has 8 multipliers, addend (or NULL) `count` values.
INLINE void finish_s8(int8_t *c, size_t count, sums s, const float *scale, const int8_t *addend, const tody_layer_s8 *q) {
    int8_t part[8] = {0};
    if (count >= 8) {
        vst1_s8(c, results_s8(s, scale, addend, q));
        return;
    }
    if (addend) memcpy(part, addend, count);
    vst1_s8(part, results_s8(s, scale, addend ? part : NULL, q));
    memcpy(c, part, count);
}

#endif
