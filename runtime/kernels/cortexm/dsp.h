// dsp.h - two 16-bit products at a time (Armv7E-M and Armv8-M with the DSP extension).
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_CORTEXM_DSP_H
#define TODY_KERNELS_CORTEXM_DSP_H

#include <arm_acle.h>

#include "core/kernels.h"

// Two 16-bit values in a word: both are `value`.
static inline int16x2_t tody_both(int32_t value) { return (int16x2_t)((uint32_t)(uint16_t)value * 0x10001u); }

// Bytes 0 and 2 of a word, signed; the second also adds them to the halves of `more`.
static inline int16x2_t tody_even(uint32_t word) { return __sxtb16((int8x4_t)word); }

static inline int16x2_t tody_add_even(int16x2_t more, uint32_t word) { return __sxtab16(more, (int8x4_t)word); }

// Bytes 1 and 3 likewise. There is no intrinsic of the form that rotates.
static inline int16x2_t tody_odd(uint32_t word) {
    int16x2_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(word));
    return y;
}

static inline int16x2_t tody_add_odd(int16x2_t more, uint32_t word) {
    int16x2_t y;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(y) : "r"(more), "r"(word));
    return y;
}

// tody_finish by the conversion that rounds half to even and stops at the ends of int32. Rounding before clamping is the same,
// because the limits are integers: `lo` and `hi` of the layer, converted once.
#if defined(__ARM_FP)
static inline int32_t tody_nearest(float p) {
    float bits;
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(bits) : "t"(p));
    int32_t nearest;
    memcpy(&nearest, &bits, sizeof nearest);
    return nearest;
}
#else
static inline int32_t tody_nearest(float p) {
    static const tody_finish_s8 wide = {-4194303.0f, 4194303.0f, 0};
    p = p > wide.lo ? p : wide.lo;
    p = p < wide.hi ? p : wide.hi;
    const float shifted = p + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000;
}
#endif

// What the results of a layer share, in registers.
typedef struct tody_ends {
    int32_t lo, hi, zero, addend_zero;
    float addend_scale;
} tody_ends;

static inline tody_ends tody_ends_of(const tody_layer_s8 *q) {
    return (tody_ends){(int32_t)q->finish.lo, (int32_t)q->finish.hi, q->finish.zero, q->addend_zero, q->addend_scale};
}

static inline int8_t tody_end(float p, tody_ends q) {
    int32_t y = tody_nearest(p);
    y = y < q.lo ? q.lo : y;
    y = y > q.hi ? q.hi : y;
    return (int8_t)(y + q.zero);
}

// tody_result_s8 without an addend, and with one.
static inline int8_t tody_alone(int32_t sum, float scale, tody_ends q) { return tody_end((float)sum * scale, q); }

static inline int8_t tody_with(int32_t sum, float scale, int8_t addend, tody_ends q) {
    const float p = (float)sum * scale;
    return tody_end(p + (float)(addend - q.addend_zero) * q.addend_scale, q);
}

static inline uint32_t tody_word(const int8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

#endif
