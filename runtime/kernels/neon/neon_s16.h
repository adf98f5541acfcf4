// neon_s16.h - what the int16 NEON kernels share: products with eight values, and eight results.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_S16_H
#define TODY_NEON_S16_H

#include "neon_s8.h"

#if defined(__aarch64__)
INLINE int32x4_t add_high_s16(int32x4_t s, int16x8_t w, int16x8_t x) { return vmlal_high_s16(s, w, x); }
#else
INLINE int32x4_t add_high_s16(int32x4_t s, int16x8_t w, int16x8_t x) {
    return vmlal_s16(s, vget_high_s16(w), vget_high_s16(x));
}
#endif

// The first `count` of 8 values, at most 8.
INLINE int16x8_t load_part_s16(const int16_t *x, size_t count) {
    int16_t part[8] = {0};
    if (count >= 8) return vld1q_s16(x);
    memcpy(part, x, count * sizeof *x);
    return vld1q_s16(part);
}

// The first `count` of eight of tody_result_s16; addend has as many, or is NULL.
INLINE void finish_s16(int16_t *c, size_t count, sums s, factors f, const int16_t *addend, const tody_layer_s8 *q) {
    const ending e = {.p_lo = vdupq_n_f32(q->finish.lo), .p_hi = vdupq_n_f32(q->finish.hi)};
    const int16x8_t lo = vdupq_n_s16((int16_t)q->finish.lo), hi = vdupq_n_s16((int16_t)q->finish.hi);
    float32x4_t low = vmulq_f32(vcvtq_f32_s32(s.low), f.low), high = vmulq_f32(vcvtq_f32_s32(s.high), f.high);
    if (addend) {
        const int16x8_t added = load_part_s16(addend, count);
        const float32x4_t by = vdupq_n_f32(q->addend_scale);
        low = vaddq_f32(low, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(added))), by));
        high = vaddq_f32(high, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(added))), by));
    }
    if (q->slopes) low = leak(low, f.slope_low), high = leak(high, f.slope_high);
    const int16x8_t y = vminq_s16(vmaxq_s16(round_s16(low, high, &e), lo), hi);
    if (count >= 8) {
        vst1q_s16(c, y);
        return;
    }
    int16_t part[8];
    vst1q_s16(part, y);
    memcpy(c, part, count * sizeof *c);
}

#endif
