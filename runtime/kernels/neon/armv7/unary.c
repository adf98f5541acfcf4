// unary.c - functions of one float32 that models use often, by NEON; the others are portable.
// SPDX-License-Identifier: Apache-2.0
#include "../../portable/math.h"
#include "../neon.h"
#include "core/format.h"

#define INLINE static inline __attribute__((always_inline))

INLINE float32x4_t all(float x) { return vdupq_n_f32(x); }

// x / y for y in [1, 2], the only divisions here, rounded as a division is (Markstein): 1 / y by two Newton steps and one with
// a fused residual, then the same for the quotient.
INLINE float32x4_t divide(float32x4_t x, float32x4_t y) {
    float32x4_t r = vrecpeq_f32(y);
    r = vmulq_f32(r, vrecpsq_f32(y, r));
    r = vmulq_f32(r, vrecpsq_f32(y, r));
    r = vfmaq_f32(r, vfmsq_f32(all(1.0f), r, y), r);
    const float32x4_t q = vmulq_f32(x, r);
    return vfmaq_f32(q, vfmsq_f32(x, q, y), r);
}

// p * x + q, rounded twice as in portable/math.h
INLINE float32x4_t step(float32x4_t p, float32x4_t x, float q) { return vaddq_f32(vmulq_f32(p, x), all(q)); }

INLINE float32x4_t power_of_2_4(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }

// exp_f32 of portable/math.h: the same operations in the same order.
INLINE float32x4_t exp4(float32x4_t x) {
    x = clamp(x, all(-105.0f), all(90.0f));
    const float32x4_t t = vaddq_f32(vmulq_f32(x, all(1.44269504f)), all(12582912.0f)), k = vsubq_f32(t, all(12582912.0f));
    const int32x4_t n = vsubq_s32(vandq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x7FFFFF)), vdupq_n_s32(0x400000));
    const float32x4_t r = vsubq_f32(vsubq_f32(x, vmulq_f32(k, all(LN2_HI))), vmulq_f32(k, all(LN2_LO)));
    float32x4_t q = step(step(all(EXP_6), r, EXP_5), r, EXP_4);
    q = step(step(q, r, EXP_3), r, EXP_2);
    const float32x4_t p = vaddq_f32(vaddq_f32(vmulq_f32(vmulq_f32(r, r), q), r), all(1.0f));
    const int32x4_t half = vshrq_n_s32(n, 1);
    return vmulq_f32(vmulq_f32(p, power_of_2_4(half)), power_of_2_4(vsubq_s32(n, half)));
}

INLINE float32x4_t sigmoid4(float32x4_t x) {
    const float32x4_t less = vnegq_f32(vabsq_f32(x));
    const float32x4_t e = vbslq_f32(vcltq_f32(less, all(-GATE_END)), all(0.0f), exp4(less));
    return divide(vbslq_f32(vcltq_f32(x, all(0.0f)), e, all(1.0f)), vaddq_f32(all(1.0f), e));
}

INLINE float32x4_t leaky_relu(float32x4_t x, float32x4_t a, float32x4_t b) {
    (void)b;
    return vbslq_f32(vcltq_f32(x, all(0.0f)), vmulq_f32(a, x), x);
}

INLINE float32x4_t sigmoid(float32x4_t x, float32x4_t a, float32x4_t b) {
    (void)a, (void)b;
    return sigmoid4(x);
}

INLINE float32x4_t hard_sigmoid(float32x4_t x, float32x4_t a, float32x4_t b) {
    return clamp(vaddq_f32(vmulq_f32(a, x), b), all(0.0f), all(1.0f));
}

INLINE float32x4_t hard_swish(float32x4_t x, float32x4_t a, float32x4_t b) {
    (void)a, (void)b;
    return vmulq_f32(x, clamp(step(x, all(0.166666667f), 0.5f), all(0.0f), all(1.0f)));
}

INLINE float32x4_t silu(float32x4_t x, float32x4_t a, float32x4_t b) {
    (void)b;
    return vmulq_f32(x, sigmoid4(vmulq_f32(a, x)));
}

INLINE float32x4_t affine(float32x4_t x, float32x4_t a, float32x4_t b) { return vaddq_f32(vmulq_f32(a, x), b); }

INLINE float32x4_t exponential(float32x4_t x, float32x4_t a, float32x4_t b) {
    (void)a, (void)b;
    return exp4(x);
}

// Inlined with its function. What is left of a row goes through a vector of its own.
INLINE void map(float32x4_t (*fn)(float32x4_t, float32x4_t, float32x4_t), float a, float b, const float *x, float *y,
                size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) vst1q_f32(y + i, fn(vld1q_f32(x + i), all(a), all(b)));
    if (i == count) return;
    float rest[4] = {0};
    memcpy(rest, x + i, (count - i) * sizeof *x);
    vst1q_f32(rest, fn(vld1q_f32(rest), all(a), all(b)));
    memcpy(y + i, rest, (count - i) * sizeof *y);
}

void tody_unary_f32_neon(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
    switch (fn) {
        case TODY_FN_CLAMP: map(clamp, a, b, x, y, count); break;
        case TODY_FN_LEAKY_RELU: map(leaky_relu, a, b, x, y, count); break;
        case TODY_FN_SIGMOID: map(sigmoid, a, b, x, y, count); break;
        case TODY_FN_HARD_SIGMOID: map(hard_sigmoid, a, b, x, y, count); break;
        case TODY_FN_HARD_SWISH: map(hard_swish, a, b, x, y, count); break;
        case TODY_FN_SILU: map(silu, a, b, x, y, count); break;
        case TODY_FN_AFFINE: map(affine, a, b, x, y, count); break;
        case TODY_FN_EXP: map(exponential, a, b, x, y, count); break;
        default: tody_kernels_portable.unary_f32(fn, a, b, x, y, count); break;
    }
}
