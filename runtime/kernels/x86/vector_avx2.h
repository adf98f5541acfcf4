// vector_avx2.h - eight floats at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_AVX2_H
#define TODY_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdbool.h>

#include "x86.h"

enum { WIDTH = 8 };

typedef __m256 vector;
typedef __m256i integers, mask;
typedef __m256 truth;  // what comparisons give

// All bits of the first `count` elements, at most 8.
static inline mask first(size_t count) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count < 8 ? (int)count : 8), index);
}

static inline vector load(const float *x) { return _mm256_loadu_ps(x); }
static inline vector load_some(const float *x, mask m) { return _mm256_maskload_ps(x, m); }
static inline void store(float *y, vector v) { _mm256_storeu_ps(y, v); }
static inline void store_some(float *y, mask m, vector v) { _mm256_maskstore_ps(y, m, v); }

// These also move p on by `step` elements.
static inline vector load_next(const float **p, size_t step) {
    const vector v = load(*p);
    *p += step;
    return v;
}

static inline void store_next(float **p, size_t step, vector v) {
    store(*p, v);
    *p += step;
}

static inline vector all(float x) { return _mm256_set1_ps(x); }
static inline vector mul(vector x, vector y) { return _mm256_mul_ps(x, y); }
static inline vector add(vector x, vector y) { return _mm256_add_ps(x, y); }
static inline vector sub(vector x, vector y) { return _mm256_sub_ps(x, y); }
static inline vector divide(vector x, vector y) { return _mm256_div_ps(x, y); }
static inline vector root(vector x) { return _mm256_sqrt_ps(x); }
static inline vector add_product(vector x, vector y, vector sum) { return _mm256_fmadd_ps(x, y, sum); }

// sum += x * y, in loops: compilers would rather overwrite x, and then move registers about in each round.
static inline __attribute__((always_inline)) void accumulate(vector *sum, vector x, vector y) {
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(y));
}

static inline vector less_product(vector x, vector y, vector sum) { return _mm256_fnmadd_ps(x, y, sum); }
static inline vector larger(vector x, vector y) { return _mm256_max_ps(x, y); }  // y if one is NaN

static inline truth truth_of(mask m) { return _mm256_castsi256_ps(m); }
static inline truth below(vector x, vector y) { return _mm256_cmp_ps(x, y, _CMP_LT_OQ); }
static inline truth is_nan(vector x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
static inline truth either(truth p, truth q) { return _mm256_or_ps(p, q); }
static inline vector choose(truth condition, vector yes, vector no) { return _mm256_blendv_ps(no, yes, condition); }

static inline vector negative(vector x) { return _mm256_xor_ps(x, all(-0.0f)); }
static inline vector below_zero(vector x) { return _mm256_or_ps(x, all(-0.0f)); }  // -|x|
static inline vector magnitude(vector x) { return _mm256_andnot_ps(all(-0.0f), x); }
static inline vector signed_as(vector x, vector sign) { return _mm256_or_ps(x, _mm256_and_ps(all(-0.0f), sign)); }

static inline vector bits_as_vector(__m256i bits) { return _mm256_castsi256_ps(bits); }

// 2^n, of t = 1.5 * 2^23 + 127 + n: whose lowest bits, shifted, are those of the exponent.
static inline vector scale_of(vector t) { return bits_as_vector(_mm256_slli_epi32(_mm256_castps_si256(t), 23)); }

// p * 2^n for |n| < 254, of t = 1.5 * 2^23 + n. Two factors, so that neither a large result nor a subnormal one is lost.
static inline vector scaled(vector p, vector t) {
    const __m256i one = _mm256_set1_epi32(0x3F800000), n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    const __m256i half = _mm256_and_si256(_mm256_srai_epi32(n, 1), _mm256_set1_epi32((int)0xFF800000));
    const vector first = bits_as_vector(_mm256_add_epi32(half, one));
    return _mm256_mul_ps(_mm256_mul_ps(p, first), bits_as_vector(_mm256_add_epi32(_mm256_sub_epi32(n, half), one)));
}

// Of the sums or the largest of elements 4 apart, then 2, then 1.
static inline float sum_across(vector v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

static inline float largest_across(vector v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

// NaN stays NaN, because these instructions return their second operand then.
static inline vector at_least(vector lo, vector x) { return _mm256_max_ps(lo, x); }
static inline vector at_most(vector hi, vector x) { return _mm256_min_ps(hi, x); }
static inline vector clamp(vector x, vector lo, vector hi) { return at_most(hi, at_least(lo, x)); }

// c = clamp(sum + addend) for the first `count` elements; addend may be NULL.
static inline void finish(float *c, size_t count, vector sum, const float *addend, vector lo, vector hi) {
    if (count >= WIDTH) {
        if (addend) sum = add(sum, load(addend));
        store(c, clamp(sum, lo, hi));
    } else {
        const mask m = first(count);
        if (addend) sum = add(sum, load_some(addend, m));
        store_some(c, m, clamp(sum, lo, hi));
    }
}

#endif
