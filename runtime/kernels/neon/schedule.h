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

#else

static inline void load_pair_f32(const float *p, const int at, float32x4_t *low, float32x4_t *high) {
    *low = vld1q_f32(p + at / 4);
    *high = vld1q_f32(p + at / 4 + 4);
}

#endif
#endif
