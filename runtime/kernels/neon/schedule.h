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

// Eight floats at *p, which then moves on by `step` bytes: two registers that follow each other; `odd` chooses these.
static inline __attribute__((always_inline)) void load_pixel_f32(const float **p, size_t step, float32x4_t *low,
                                                                 float32x4_t *high, const bool odd) {
    if (odd) {
        register float32x4_t a __asm__("v30"), b __asm__("v31");
        __asm__ volatile("ld1 {v30.4s, v31.4s}, [%2], %3" : "=w"(a), "=w"(b), "+r"(*p) : "r"(step) : "memory");
        *low = a, *high = b;
        return;
    }
    register float32x4_t a __asm__("v28"), b __asm__("v29");
    __asm__ volatile("ld1 {v28.4s, v29.4s}, [%2], %3" : "=w"(a), "=w"(b), "+r"(*p) : "r"(step) : "memory");
    *low = a, *high = b;
}

// To p + `at` bytes, a constant multiple of 16 from -1024 to 1008.
static inline __attribute__((always_inline)) void store_pair_f32(float *p, const int at, float32x4_t low, float32x4_t high) {
    __asm__ volatile("stp %q1, %q2, [%0, %c3]" : : "r"(p), "w"(low), "w"(high), "i"(at) : "memory");
}

#define LOAD_ROW(r0, r1, p, bytes, low, high)                                                                            \
    do {                                                                                                                 \
        register float32x4_t a __asm__(#r0), b __asm__(#r1);                                                             \
        __asm__ volatile("ld1 {" #r0 ".4s, " #r1 ".4s}, [%2], %3" : "=w"(a), "=w"(b), "+r"(*p) : "r"(bytes) : "memory"); \
        *low = a, *high = b;                                                                                             \
    } while (0)

// Eight floats at *p, which then moves on by `step` floats: of row `row` of a tile, whose registers follow each other.
static inline __attribute__((always_inline)) void load_row_f32(const float **p, size_t step, float32x4_t *low,
                                                               float32x4_t *high, const int row) {
    const size_t bytes = step * sizeof(float);
    switch (row % 4) {
        case 0: LOAD_ROW(v16, v17, p, bytes, low, high); break;
        case 1: LOAD_ROW(v18, v19, p, bytes, low, high); break;
        case 2: LOAD_ROW(v20, v21, p, bytes, low, high); break;
        default: LOAD_ROW(v22, v23, p, bytes, low, high); break;
    }
}

#define STORE_ROW(r0, r1, p, bytes, low, high)                                                                         \
    do {                                                                                                               \
        register float32x4_t a __asm__(#r0) = low, b __asm__(#r1) = high;                                              \
        __asm__ volatile("st1 {" #r0 ".4s, " #r1 ".4s}, [%0], %3" : "+r"(*p) : "w"(a), "w"(b), "r"(bytes) : "memory"); \
    } while (0)

// The same to *p, of row `row` of a tile: each has registers of its own, which follow each other, so that nothing is copied.
static inline __attribute__((always_inline)) void store_row_f32(float **p, size_t step, float32x4_t low, float32x4_t high,
                                                                const int row) {
    const size_t bytes = step * sizeof(float);
    switch (row) {
        case 0: STORE_ROW(v0, v1, p, bytes, low, high); break;
        case 1: STORE_ROW(v2, v3, p, bytes, low, high); break;
        case 2: STORE_ROW(v4, v5, p, bytes, low, high); break;
        case 3: STORE_ROW(v6, v7, p, bytes, low, high); break;
        case 4: STORE_ROW(v24, v25, p, bytes, low, high); break;
        case 5: STORE_ROW(v26, v27, p, bytes, low, high); break;
        case 6: STORE_ROW(v28, v29, p, bytes, low, high); break;
        default: STORE_ROW(v30, v31, p, bytes, low, high); break;
    }
}

// Four floats of each of some rows.
typedef struct fours {
    float32x4_t x0, x1, x2, x3, x4, x5, x6, x7;
} fours;

// The first `count` of the vectors x0 to x3, 1 to 4, from *p on into registers that follow each other; *p moves on by `step`
// bytes.
#define LOAD_ROWS(r0, r1, r2, r3, x0, x1, x2, x3, count, step)                                                              \
    do {                                                                                                                    \
        register float32x4_t a __asm__(#r0), b __asm__(#r1), c __asm__(#r2), d __asm__(#r3);                                \
        if ((count) > 3) {                                                                                                  \
            __asm__ volatile("ld1 {" #r0 ".4s, " #r1 ".4s, " #r2 ".4s, " #r3 ".4s}, [%4], %5"                               \
                             : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)                                                 \
                             : "r"(step)                                                                                    \
                             : "memory");                                                                                   \
            x3 = d;                                                                                                         \
        } else if ((count) > 2) {                                                                                           \
            __asm__ volatile("ld1 {" #r0 ".4s, " #r1 ".4s, " #r2 ".4s}, [%3], %4"                                           \
                             : "=w"(a), "=w"(b), "=w"(c), "+r"(*p)                                                          \
                             : "r"(step)                                                                                    \
                             : "memory");                                                                                   \
        } else if ((count) > 1) {                                                                                           \
            __asm__ volatile("ld1 {" #r0 ".4s, " #r1 ".4s}, [%2], %3" : "=w"(a), "=w"(b), "+r"(*p) : "r"(step) : "memory"); \
        } else {                                                                                                            \
            __asm__ volatile("ld1 {" #r0 ".4s}, [%1], %2" : "=w"(a), "+r"(*p) : "r"(step) : "memory");                      \
        }                                                                                                                   \
        x0 = a;                                                                                                             \
        if ((count) > 1) x1 = b;                                                                                            \
        if ((count) > 2) x2 = c;                                                                                            \
    } while (0)

#define LOAD_FOUR(r0, r1, r2, r3, p, v)                                                      \
    do {                                                                                     \
        register float32x4_t a __asm__(#r0), b __asm__(#r1), c __asm__(#r2), d __asm__(#r3); \
        __asm__ volatile("ld1 {" #r0 ".4s, " #r1 ".4s, " #r2 ".4s, " #r3 ".4s}, [%4], #64"   \
                         : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)::"memory");          \
        v[0] = a, v[1] = b, v[2] = c, v[3] = d;                                              \
    } while (0)

// Sixteen floats at *p, which moves on behind them; `odd` chooses the registers.
static inline __attribute__((always_inline)) void load_four_f32(float32x4_t v[4], const float **p, const bool odd) {
    if (odd)
        LOAD_FOUR(v8, v9, v10, v11, p, v);
    else
        LOAD_FOUR(v20, v21, v22, v23, p, v);
}

// Of `count` rows, a constant, one after the other from *p on, which moves on by `step` floats once all are loaded: the first
// four of more than four, of fewer all. The others come from load_last_f32.
static inline __attribute__((always_inline)) void load_first_f32(fours *x, const float **p, size_t step, const uint32_t count) {
    if (count > 4) {
        register float32x4_t a __asm__("v16"), b __asm__("v17"), c __asm__("v18"), d __asm__("v19");
        __asm__ volatile("ld1 {v16.4s, v17.4s, v18.4s, v19.4s}, [%4], #64"
                         : "=w"(a), "=w"(b), "=w"(c), "=w"(d), "+r"(*p)::"memory");
        x->x0 = a, x->x1 = b, x->x2 = c, x->x3 = d;
    } else {
        LOAD_ROWS(v16, v17, v18, v19, x->x0, x->x1, x->x2, x->x3, count, step * sizeof(float));
    }
}

static inline __attribute__((always_inline)) void load_last_f32(fours *x, const float **p, size_t step, const uint32_t count) {
    if (count > 4) LOAD_ROWS(v20, v21, v22, v23, x->x4, x->x5, x->x6, x->x7, count - 4, step * sizeof(float) - 64);
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

// Thirty-two bytes at *p, which moves on behind them.
static inline __attribute__((always_inline)) void load_next_pair_s8(const int8_t **p, int8x16_t *low, int8x16_t *high) {
    __asm__ volatile("ldp %q0, %q1, [%2], #32" : "=w"(*low), "=w"(*high), "+r"(*p) : : "memory");
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

#if defined(__ARM_FEATURE_MATMUL_INT8)

// s + eight products of each of two rows of x with each of two of w.
static inline __attribute__((always_inline)) int32x4_t add_pairs_s8(int32x4_t s, int8x16_t x, int8x16_t w) {
    __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(s) : "w"(x), "w"(w));
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

static inline void load_next_pair_f32(const float **p, const int step, float32x4_t *low, float32x4_t *high) {
    load_pair_f32(*p, 0, low, high);
    *p += step / 4;
}

static inline void load_row_f32(const float **p, size_t step, float32x4_t *low, float32x4_t *high, const int row) {
    (void)row;
    load_pair_f32(*p, 0, low, high);
    *p += step;
}

static inline void store_row_f32(float **p, size_t step, float32x4_t low, float32x4_t high, const int row) {
    (void)row;
    vst1q_f32(*p, low);
    vst1q_f32(*p + 4, high);
    *p += step;
}

static inline void store_pair_f32(float *p, const int at, float32x4_t low, float32x4_t high) {
    vst1q_f32(p + at / 4, low);
    vst1q_f32(p + at / 4 + 4, high);
}

#endif
#endif
