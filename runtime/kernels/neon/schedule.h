// schedule.h - loads and products of AArch64 that stay in the order in which they are written, whatever a compiler thinks best.
// SPDX-License-Identifier: Apache-2.0
//
// In-order cores (Cortex-A53, A55) wait for a load that stands right before its use, and some for each load that follows a
// product; compilers that do not know which core it will be mix them. So inner loops load all that a round needs, then
// multiply.
#ifndef TODY_NEON_SCHEDULE_H
#define TODY_NEON_SCHEDULE_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__aarch64__)

// Four floats at p + `at` bytes, a constant multiple of 16 from -256 to 4080.
static inline __attribute__((always_inline)) float32x4_t load_f32(const float *p, const int at) {
    float32x4_t v;
    __asm__ volatile("ldr %q0, [%1, %c2]" : "=w"(v) : "r"(p), "i"(at) : "memory");
    return v;
}

// Four floats at *p, which then moves on by `step` of them.
static inline __attribute__((always_inline)) float32x4_t load_next_f32(const float **p, size_t step) {
    float32x4_t v;
    __asm__ volatile("ld1 {%0.4s}, [%1], %2" : "=w"(v), "+r"(*p) : "r"(step * sizeof(float)) : "memory");
    return v;
}

static inline __attribute__((always_inline)) void store_next_f32(float **p, size_t step, float32x4_t v) {
    __asm__ volatile("st1 {%1.4s}, [%0], %2" : "+r"(*p) : "w"(v), "r"(step * sizeof(float)) : "memory");
}

// Eight floats at p + `at` bytes, a constant multiple of 16 from -1024 to 1008.
static inline __attribute__((always_inline)) void load_pair_f32(const float *p, const int at, float32x4_t *low,
                                                                float32x4_t *high) {
    __asm__ volatile("ldp %q0, %q1, [%2, %c3]" : "=w"(*low), "=w"(*high) : "r"(p), "i"(at) : "memory");
}

// Eight floats at *p, which then moves on by `step` bytes, a constant multiple of 16 from -1024 to 1008.
static inline __attribute__((always_inline)) void load_next_pair_f32(const float **p, const int step, float32x4_t *low,
                                                                     float32x4_t *high) {
    __asm__ volatile("ldp %q0, %q1, [%2], %c3" : "=w"(*low), "=w"(*high), "+r"(*p) : "i"(step) : "memory");
}

static inline __attribute__((always_inline)) void store_pair_f32(float *p, float32x4_t low, float32x4_t high) {
    __asm__ volatile("stp %q1, %q2, [%0]" : : "r"(p), "w"(low), "w"(high) : "memory");
}

// Four floats of each of some rows.
typedef struct fours {
    float32x4_t x0, x1, x2, x3, x4, x5, x6, x7;
} fours;

// Sixteen floats at *p, which moves on behind them, to four registers that follow each other; `last` chooses these.
static inline __attribute__((always_inline)) void load_four_f32(const float **p, float32x4_t *x0, float32x4_t *x1,
                                                                float32x4_t *x2, float32x4_t *x3, const bool last) {
    if (last) {
        register float32x4_t a __asm__("v20"), b __asm__("v21"), c __asm__("v22"), d __asm__("v23");
        __asm__ volatile("ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [%4], #64"
                         : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)
                         :
                         : "memory");
        *x0 = a, *x1 = b, *x2 = c, *x3 = d;
        return;
    }
    register float32x4_t a __asm__("v16"), b __asm__("v17"), c __asm__("v18"), d __asm__("v19");
    __asm__ volatile("ld1 {v16.4s, v17.4s, v18.4s, v19.4s}, [%4], #64"
                     : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)
                     :
                     : "memory");
    *x0 = a, *x1 = b, *x2 = c, *x3 = d;
}

// Of `count` rows, a constant, one after the other from *p on, which moves on behind them: of eight the first four, of fewer
// all. The last four of eight come from load_last_f32.
static inline __attribute__((always_inline)) void load_first_f32(fours *x, const float **p, const uint32_t count) {
    const int end = (int)count * 16;
    if (count >= 8) {
        load_four_f32(p, &x->x0, &x->x1, &x->x2, &x->x3, false);
        return;
    }
    load_next_pair_f32(p, end, &x->x0, &x->x1);
    if (count == 3) x->x2 = load_f32(*p, 32 - end);
    if (count > 3) load_pair_f32(*p, 32 - end, &x->x2, &x->x3);
    if (count == 5) x->x4 = load_f32(*p, 64 - end);
    if (count > 5) load_pair_f32(*p, 64 - end, &x->x4, &x->x5);
    if (count == 7) x->x6 = load_f32(*p, 96 - end);
}

static inline __attribute__((always_inline)) void load_last_f32(fours *x, const float **p, const uint32_t count) {
    if (count >= 8) load_four_f32(p, &x->x4, &x->x5, &x->x6, &x->x7, true);
}

// s + w * x[lane]
static inline __attribute__((always_inline)) float32x4_t add_lane_f32(float32x4_t s, float32x4_t w, float32x4_t x,
                                                                      const int lane) {
    __asm__ volatile("fmla %0.4s, %1.4s, %2.s[%c3]" : "+w"(s) : "w"(w), "w"(x), "i"(lane));
    return s;
}

// s + x * y
static inline __attribute__((always_inline)) float32x4_t add_product_f32(float32x4_t s, float32x4_t x, float32x4_t y) {
    __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(s) : "w"(x), "w"(y));
    return s;
}

// Sixteen bytes at *p, which moves on behind them.
static inline __attribute__((always_inline)) int8x16_t load_next_s8(const int8_t **p) {
    int8x16_t v;
    __asm__ volatile("ldr %q0, [%1], #16" : "=w"(v), "+r"(*p) : : "memory");
    return v;
}

// Sixty-four bytes at *p, which moves on behind them.
static inline __attribute__((always_inline)) int8x16x4_t load_four_s8(const int8_t **p) {
    register int8x16_t a __asm__("v20"), b __asm__("v21"), c __asm__("v22"), d __asm__("v23");
    __asm__ volatile("ld1 {v20.16b, v21.16b, v22.16b, v23.16b}, [%4], #64"
                     : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)
                     :
                     : "memory");
    return (int8x16x4_t){{a, b, c, d}};
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

// s + x[lane] * w of four of the eight values of w: the first ones, or the last.
static inline __attribute__((always_inline)) int32x4_t add_low_lane_s16(int32x4_t s, int16x8_t w, int16x8_t x, const int lane) {
    __asm__("smlal %0.4s, %1.4h, %2.h[%c3]" : "+w"(s) : "w"(w), "x"(x), "i"(lane));
    return s;
}

static inline __attribute__((always_inline)) int32x4_t add_high_lane_s16(int32x4_t s, int16x8_t w, int16x8_t x,
                                                                         const int lane) {
    __asm__("smlal2 %0.4s, %1.8h, %2.h[%c3]" : "+w"(s) : "w"(w), "x"(x), "i"(lane));
    return s;
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

static inline void load_pair_s8(const int8_t *p, const int at, int8x16_t *low, int8x16_t *high) {
    *low = vld1q_s8(p + at);
    *high = vld1q_s8(p + at + 16);
}

static inline float32x4_t load_next_f32(const float **p, size_t step) {
    const float32x4_t v = vld1q_f32(*p);
    *p += step;
    return v;
}

static inline void store_next_f32(float **p, size_t step, float32x4_t v) {
    vst1q_f32(*p, v);
    *p += step;
}

static inline void load_pair_f32(const float *p, const int at, float32x4_t *low, float32x4_t *high) {
    *low = vld1q_f32(p + at / 4);
    *high = vld1q_f32(p + at / 4 + 4);
}

static inline void store_pair_f32(float *p, float32x4_t low, float32x4_t high) {
    vst1q_f32(p, low);
    vst1q_f32(p + 4, high);
}

#endif
#endif
