// neon_s8.h - what the int8 NEON kernels share: eight sums at a time, and sixteen results.
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

// The multipliers of 8 sums, and their slopes, if the layer has some.
typedef struct factors {
    float32x4_t low, high, slope_low, slope_high;
} factors;

// How the results of a layer end, in vectors.
typedef struct ending {
    int16x8_t zero;
    int8x16_t lo, hi;  // of the result itself
    float32x4_t p_lo, p_hi;
    int8x8_t addend_zero;
    float32x4_t addend_scale;
    bool leaks;                  // whether it has
    const tody_layer_s8 *layer;  // what few layers have
} ending;

INLINE ending ending_of(const tody_layer_s8 *q) {
    const tody_finish_s8 f = q->finish;
    return (ending){vdupq_n_s16((int16_t)f.zero),
                    vdupq_n_s8((int8_t)((int32_t)f.lo + f.zero)),
                    vdupq_n_s8((int8_t)((int32_t)f.hi + f.zero)),
                    vdupq_n_f32(f.lo),
                    vdupq_n_f32(f.hi),
                    vdup_n_s8((int8_t)q->addend_zero),
                    vdupq_n_f32(q->addend_scale),
                    q->slopes != 0,
                    q};
}

// The same of a layer that may be known to be plain (tody_is_plain).
INLINE ending ending_where(ending e, const bool plain) {
    if (plain) e.leaks = false;
    return e;
}

INLINE factors load_factors(const float *scale, uint32_t slopes) {
    const float *slope = scale + slopes;
    return (factors){vld1q_f32(scale), vld1q_f32(scale + 4), vld1q_f32(slope), vld1q_f32(slope + 4)};
}

// Those of the first `count` of 8 sums, at most 8.
INLINE factors load_some_factors(const float *scale, uint32_t slopes, const size_t count) {
    float both[16] = {0};
    if (count >= 8) return load_factors(scale, slopes);
    memcpy(both, scale, count * sizeof *scale);
    memcpy(both + 8, scale + slopes, count * sizeof *scale);
    return load_factors(both, 8);
}

INLINE sums add_sums(sums a, sums b) { return (sums){vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)}; }

#if defined(__ARM_FEATURE_DOTPROD)

// Of each of eight columns the sum of its weights, of which four stand side by side in each of `groups` groups of 64 bytes.
INLINE sums sum_weights(const int8_t *w, size_t groups) {
    const int8x16_t one = vdupq_n_s8(1);
    sums s = {vdupq_n_s32(0), vdupq_n_s32(0)};
#pragma GCC unroll 4
    for (const int8_t *end = w + groups * 64; w < end; w += 64)
        s = (sums){vdotq_s32(s.low, vld1q_s8(w), one), vdotq_s32(s.high, vld1q_s8(w + 16), one)};
    return s;
}

#endif

// Rounded half to even.
#if defined(__aarch64__)

// Saturated: the bounds are integers, so they may come after rounding.
INLINE int16x8_t round_s16(float32x4_t low, float32x4_t high, const ending *e) {
    (void)e;
    return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
}

INLINE int8x16_t narrow_s16(int16x8_t a, int16x8_t b) { return vqmovn_high_s16(vqmovn_s16(a), b); }

#else

// Adding 1.5 * 2^23 rounds on every machine; ARMv7 has no other way.
INLINE int16x4_t round_four(float32x4_t p, const ending *e) {
    return vmovn_s32(vreinterpretq_s32_f32(vaddq_f32(clamp(p, e->p_lo, e->p_hi), vdupq_n_f32(12582912.0f))));
}

INLINE int16x8_t round_s16(float32x4_t low, float32x4_t high, const ending *e) {
    return vcombine_s16(round_four(low, e), round_four(high, e));
}

INLINE int8x16_t narrow_s16(int16x8_t a, int16x8_t b) { return vcombine_s8(vqmovn_s16(a), vqmovn_s16(b)); }

#endif

// A product that is rounded before its addend comes. Adding 1.5 * 2^23 rounds.
INLINE float32x4_t round_inner(float32x4_t p, const tody_layer_s8 *q) {
    const float32x4_t shift = vdupq_n_f32(12582912.0f);
    p = clamp(p, vdupq_n_f32(q->inner.lo), vdupq_n_f32(q->inner.hi));
    return vmulq_f32(vsubq_f32(vaddq_f32(p, shift), shift), vdupq_n_f32(q->inner_scale));
}

// Four of tody_leak.
INLINE float32x4_t leak(float32x4_t p, float32x4_t slope) {
    return vbslq_f32(vcltq_f32(p, vdupq_n_f32(0.0f)), vmulq_f32(p, slope), p);
}

// Eight of tody_result_s8 but for their bounds; addends or NULL.
INLINE int16x8_t scaled_s8(sums s, factors f, const int8x8_t *addends, const ending *e) {
    float32x4_t low = vmulq_f32(vcvtq_f32_s32(s.low), f.low);
    float32x4_t high = vmulq_f32(vcvtq_f32_s32(s.high), f.high);
    if (addends && e->layer->rounds) low = round_inner(low, e->layer), high = round_inner(high, e->layer);
    if (addends) {
        const int16x8_t added = vsubl_s8(*addends, e->addend_zero);
        low = vaddq_f32(low, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(added))), e->addend_scale));
        high = vaddq_f32(high, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(added))), e->addend_scale));
    }
    if (e->leaks) low = leak(low, f.slope_low), high = leak(high, f.slope_high);
    return vqaddq_s16(round_s16(low, high, e), e->zero);
}

// Sixteen of tody_result_s8: what scaled_s8 made, within its bounds.
INLINE int8x16_t results_s8(int16x8_t a, int16x8_t b, const ending *e) {
    return vminq_s8(vmaxq_s8(narrow_s16(a, b), e->lo), e->hi);
}

// 8 values at a, then 8 at b.
INLINE int8x16_t load_two_s8(const int8_t *a, const int8_t *b) { return vcombine_s8(vld1_s8(a), vld1_s8(b)); }

// The first `count` of 8 values, at most 8.
INLINE int8x8_t load_part_s8(const int8_t *x, size_t count) {
    int8_t part[8] = {0};
    if (count >= 8) return vld1_s8(x);
    memcpy(part, x, count);
    return vld1_s8(part);
}

INLINE void store_part_s8(int8_t *to, size_t count, int8x8_t x) {
    int8_t part[8];
    if (count >= 8) {
        vst1_s8(to, x);
        return;
    }
    vst1_s8(part, x);
    memcpy(to, part, count);
}

#endif
