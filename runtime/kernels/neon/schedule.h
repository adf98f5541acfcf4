// schedule.h - loads and products of AArch64 that stay in the order in which they are written, whatever a compiler thinks best.
// SPDX-License-Identifier: Apache-2.0
//
// In-order cores (Cortex-A53, A55) wait for a load that stands right before its use, and some for each load that follows a
// product; compilers that do not know which core it will be mix them. So inner loops load all that a round needs, then
// multiply.
#ifndef TODY_NEON_SCHEDULE_H
#define TODY_NEON_SCHEDULE_H

#include <arm_neon.h>
#include <stddef.h>

#if defined(__aarch64__)

// Four floats at p + at bytes.
static inline __attribute__((always_inline)) float32x4_t load_f32(const float *p, size_t at) {
    float32x4_t v;
    __asm__ volatile("ldr %q0, [%1, %2]" : "=w"(v) : "r"(p), "r"(at) : "memory");
    return v;
}

// Eight floats at p + `at` bytes, a constant multiple of 16 below 1024.
static inline __attribute__((always_inline)) void load_pair_f32(const float *p, const int at, float32x4_t *low,
                                                                float32x4_t *high) {
    __asm__ volatile("ldp %q0, %q1, [%2, %c3]" : "=w"(*low), "=w"(*high) : "r"(p), "i"(at) : "memory");
}

// s + w * x[lane]
static inline __attribute__((always_inline)) float32x4_t add_lane_f32(float32x4_t s, float32x4_t w, float32x4_t x,
                                                                      const int lane) {
    __asm__ volatile("fmla %0.4s, %1.4s, %2.s[%c3]" : "+w"(s) : "w"(w), "w"(x), "i"(lane));
    return s;
}

// Sixteen bytes at p + at.
static inline __attribute__((always_inline)) int8x16_t load_s8(const int8_t *p, size_t at) {
    int8x16_t v;
    __asm__ volatile("ldr %q0, [%1, %2]" : "=w"(v) : "r"(p), "r"(at) : "memory");
    return v;
}

// Thirty-two bytes at p + at, a constant multiple of 16 below 1024.
static inline __attribute__((always_inline)) void load_pair_s8(const int8_t *p, const int at, int8x16_t *low, int8x16_t *high) {
    __asm__ volatile("ldp %q0, %q1, [%2, %c3]" : "=w"(*low), "=w"(*high) : "r"(p), "i"(at) : "memory");
}

// Four bytes at *p, which moves on behind them, in each lane.
static inline __attribute__((always_inline)) int8x16_t load_group_s8(const int8_t **p) {
    int8x16_t v;
    __asm__ volatile("ld1r {%0.4s}, [%1], #4" : "=w"(v), "+r"(*p) : : "memory");
    return v;
}

#if defined(__ARM_FEATURE_DOTPROD)

// s + four products of w with those of x that stand in a lane of 32 bits.
static inline __attribute__((always_inline)) int32x4_t dot_lane_s8(int32x4_t s, int8x16_t w, int8x16_t x, const int lane) {
    __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(s) : "w"(w), "w"(x), "i"(lane));
    return s;
}

#endif

#else

static inline int8x16_t load_group_s8(const int8_t **p) {
    const int8x16_t v = vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(const void *)*p));
    *p += 4;
    return v;
}

static inline void load_pair_f32(const float *p, const int at, float32x4_t *low, float32x4_t *high) {
    *low = vld1q_f32(p + at / 4);
    *high = vld1q_f32(p + at / 4 + 4);
}

#endif
#endif
