// dsp.h - two 16-bit products at a time (Armv7E-M and Armv8-M with the DSP extension).
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_CORTEXM_DSP_H
#define TODY_KERNELS_CORTEXM_DSP_H

#include <arm_acle.h>

#include "core/kernels.h"

// Two 16-bit values in a word: both are `value`.
static inline int16x2_t tody_both(int32_t value) { return (int16x2_t)((uint32_t)(uint16_t)value * 0x10001u); }

// Bytes 0 and 2 of a word, signed; the second also adds them to the halves of `more`.
static inline __attribute__((always_inline)) int16x2_t tody_even(uint32_t word) { return __sxtb16((int8x4_t)word); }

static inline __attribute__((always_inline)) int16x2_t tody_add_even(int16x2_t more, uint32_t word) {
    return __sxtab16(more, (int8x4_t)word);
}

// Bytes 1 and 3 likewise. There is no intrinsic of the form that rotates.
static inline __attribute__((always_inline)) int16x2_t tody_odd(uint32_t word) {
    int16x2_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(word));
    return y;
}

static inline __attribute__((always_inline)) int16x2_t tody_add_odd(int16x2_t more, uint32_t word) {
    int16x2_t y;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(y) : "r"(more), "r"(word));
    return y;
}

// Bytes 0 and 1 of two words side by side, and bytes 2 and 3.
static inline uint32_t tody_low_halves(uint32_t a, uint32_t b) {
    uint32_t y;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

static inline uint32_t tody_high_halves(uint32_t a, uint32_t b) {
    uint32_t y;
    __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(y) : "r"(a), "r"(b));
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
    static const tody_finish_s8 wide = {-4194303.0f, 4194303.0f, 0};  // as far as it rounds
    return tody_finish_s32(p, &wide);
}
#endif

// What the results of a layer share, in registers.
typedef struct tody_ends {
    int32_t lo, hi, zero;
} tody_ends;

static inline bool tody_is_whole(const tody_layer_s8 *q) {
    return (int32_t)q->finish.lo + q->finish.zero == INT8_MIN && (int32_t)q->finish.hi + q->finish.zero == INT8_MAX;
}

static inline tody_ends tody_ends_of(const tody_layer_s8 *q) {
    const int32_t zero = q->finish.zero;
    return (tody_ends){(int32_t)q->finish.lo + zero, (int32_t)q->finish.hi + zero, zero};
}

// a + b within int8. ACLE's intrinsics of the two warn of conversions.
static inline int32_t tody_shifted(int32_t a, int32_t b) {
    int32_t y;
    __asm__("qadd %0, %1, %2\n\tssat %0, #8, %0" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

// The result of a product of sum and scale.
static inline int32_t tody_end(float p, const tody_ends *q) {
    int32_t y = tody_shifted(tody_nearest(p), q->zero);
    y = y < q->lo ? q->lo : y;
    return y > q->hi ? q->hi : y;
}

static inline __attribute__((always_inline)) uint32_t tody_word(const int8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

#endif
