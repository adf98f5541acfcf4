// vector.h - four floats at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_VECTOR_H
#define TODY_NEON_VECTOR_H

#include "neon.h"
#include "schedule.h"

enum { WIDTH = 4 };

typedef float32x4_t vector;
typedef size_t mask;       // how many elements
typedef uint32x4_t truth;  // what comparisons give

static inline mask first(size_t count) { return count; }
static inline vector load(const float *x) { return vld1q_f32(x); }
static inline void store(float *y, vector v) { vst1q_f32(y, v); }

static inline vector load_some(const float *x, mask m) {
    float part[WIDTH] = {0};
    for (size_t i = 0; i < m && i < WIDTH; i++) part[i] = x[i];
    return load(part);
}

static inline void store_some(float *y, mask m, vector v) {
    float part[WIDTH];
    store(part, v);
    for (size_t i = 0; i < m && i < WIDTH; i++) y[i] = part[i];
}

// These also move p on by `step` elements.
static inline vector load_next(const float **p, size_t step) { return load_next_f32(p, step); }
static inline void store_next(float **p, size_t step, vector v) { store_next_f32(p, step, v); }

static inline vector all(float x) { return vdupq_n_f32(x); }
static inline vector mul(vector x, vector y) { return vmulq_f32(x, y); }
static inline vector add(vector x, vector y) { return vaddq_f32(x, y); }
static inline vector sub(vector x, vector y) { return vsubq_f32(x, y); }
static inline vector add_product(vector x, vector y, vector sum) { return vfmaq_f32(sum, x, y); }
static inline vector less_product(vector x, vector y, vector sum) { return vfmsq_f32(sum, x, y); }

static inline vector at_least(vector lo, vector x) { return vmaxq_f32(lo, x); }  // NaN if one is, as of the next
static inline vector at_most(vector hi, vector x) { return vminq_f32(hi, x); }

static inline truth truth_of(mask m) {
    const uint32_t index[WIDTH] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(index), vdupq_n_u32((uint32_t)m));
}
static inline truth below(vector x, vector y) { return vcltq_f32(x, y); }
static inline vector choose(truth condition, vector yes, vector no) { return vbslq_f32(condition, yes, no); }
static inline vector larger(vector x, vector y) { return choose(below(y, x), x, y); }  // y if one is NaN

static inline uint32x4_t bits_of_vector(vector x) { return vreinterpretq_u32_f32(x); }
static inline vector bits_as_vector(uint32x4_t bits) { return vreinterpretq_f32_u32(bits); }
static inline vector negative(vector x) { return vnegq_f32(x); }
static inline vector below_zero(vector x) {
    return bits_as_vector(vorrq_u32(bits_of_vector(x), vdupq_n_u32(1u << 31)));
}  // -|x|
static inline vector magnitude(vector x) { return vabsq_f32(x); }
static inline vector signed_as(vector x, vector sign) {
    return bits_as_vector(vorrq_u32(bits_of_vector(x), vandq_u32(bits_of_vector(sign), vdupq_n_u32(1u << 31))));
}

// 2^n, of t = 1.5 * 2^23 + 127 + n: whose lowest bits, shifted, are those of the exponent.
static inline vector scale_of(vector t) { return bits_as_vector(vshlq_n_u32(bits_of_vector(t), 23)); }

// p * 2^n for |n| < 254, of t = 1.5 * 2^23 + n. Two factors, so that neither a large result nor a subnormal one is lost.
static inline vector scaled(vector p, vector t) {
    const uint32x4_t one = vdupq_n_u32(0x3F800000), n = vshlq_n_u32(bits_of_vector(t), 23);
    const uint32x4_t halved = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(n), 1));
    const uint32x4_t half = vandq_u32(halved, vdupq_n_u32(0xFF800000));
    const vector power = bits_as_vector(vaddq_u32(half, one));
    return mul(mul(p, power), bits_as_vector(vaddq_u32(vsubq_u32(n, half), one)));
}

#if defined(__aarch64__)
// Constants, four to a register, which the compiler does not know to be such: it would load each from memory for each use.
typedef struct factors {
    vector x[3];
} factors;
static inline __attribute__((always_inline)) factors keep_factors(const float *x) {
    factors f = {{load(x), load(x + 4), load(x + 8)}};
    __asm__("" : "+w"(f.x[0]));
    __asm__("" : "+w"(f.x[1]));
    __asm__("" : "+w"(f.x[2]));
    return f;
}
static inline __attribute__((always_inline)) vector factor(const factors *f, const uint32_t i) {
    return all(f->x[i / 4][i % 4]);
}
static inline vector divide(vector x, vector y) { return vdivq_f32(x, y); }
static inline vector root(vector x) { return vsqrtq_f32(x); }
#else
typedef const float *factors;
static inline factors keep_factors(const float *x) { return x; }
static inline vector factor(const factors *f, uint32_t i) { return all((*f)[i]); }
#endif

// A vector that is wholly there, which the compiler knows, or what is in the mask.
static inline __attribute__((always_inline)) vector load_part(const float *x, bool whole, mask m) {
    return whole ? load(x) : load_some(x, m);
}

static inline __attribute__((always_inline)) void store_part(float *y, bool whole, mask m, vector v) {
    if (whole)
        store(y, v);
    else
        store_some(y, m, v);
}

// Of the sums or the largest of elements 2 apart, then 1.
static inline float sum_across(vector v) {
    const float32x2_t pairs = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(pairs, 0) + vget_lane_f32(pairs, 1);
}

static inline float largest_across(vector v) {
    const vector pairs = larger(vextq_f32(v, v, 2), v);
    return vgetq_lane_f32(larger(vextq_f32(pairs, pairs, 1), pairs), 0);
}

#endif
