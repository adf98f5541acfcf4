// vector_avx512.h - sixteen floats at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_AVX512_H
#define TODY_VECTOR_AVX512_H

#include <immintrin.h>
#include <stdbool.h>

#include "x86.h"

enum { WIDTH = 16 };

typedef __m512 vector;
typedef __m512i integers;
typedef __mmask16 mask, truth;  // truth is what comparisons give

// The first `count` elements, at most 16.
static inline mask first(size_t count) { return (mask)(count < 16 ? (1u << count) - 1 : 0xFFFFu); }

static inline vector load(const float *x) { return _mm512_loadu_ps(x); }
static inline vector load_some(const float *x, mask m) { return _mm512_maskz_loadu_ps(m, x); }
static inline void store(float *y, vector v) { _mm512_storeu_ps(y, v); }
static inline void store_some(float *y, mask m, vector v) { _mm512_mask_storeu_ps(y, m, v); }

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

static inline vector all(float x) { return _mm512_set1_ps(x); }
static inline vector mul(vector x, vector y) { return _mm512_mul_ps(x, y); }
static inline vector add(vector x, vector y) { return _mm512_add_ps(x, y); }
static inline vector sub(vector x, vector y) { return _mm512_sub_ps(x, y); }
static inline vector divide(vector x, vector y) { return _mm512_div_ps(x, y); }
static inline vector root(vector x) { return _mm512_sqrt_ps(x); }
static inline vector add_product(vector x, vector y, vector sum) { return _mm512_fmadd_ps(x, y, sum); }
static inline void accumulate(vector *sum, vector x, vector y) { *sum = add_product(x, y, *sum); }
static inline vector less_product(vector x, vector y, vector sum) { return _mm512_fnmadd_ps(x, y, sum); }
static inline vector larger(vector x, vector y) { return _mm512_max_ps(x, y); }  // y if one is NaN

static inline truth truth_of(mask m) { return m; }
static inline truth below(vector x, vector y) { return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ); }
static inline truth is_nan(vector x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
static inline truth either(truth p, truth q) { return (truth)(p | q); }
static inline vector choose(truth condition, vector yes, vector no) { return _mm512_mask_blend_ps(condition, no, yes); }

static inline vector negative(vector x) { return _mm512_xor_ps(x, all(-0.0f)); }
static inline vector below_zero(vector x) { return _mm512_or_ps(x, all(-0.0f)); }  // -|x|
static inline vector magnitude(vector x) { return _mm512_andnot_ps(all(-0.0f), x); }
static inline vector signed_as(vector x, vector sign) { return _mm512_or_ps(x, _mm512_and_ps(all(-0.0f), sign)); }

// 2^n, of t = 1.5 * 2^23 + 127 + n: whose lowest bits, shifted, are those of the exponent.
static inline vector scale_of(vector t) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t), 23)); }

// p * 2^n, of t = 1.5 * 2^23 + n.
static inline vector scaled(vector p, vector t) { return _mm512_scalef_ps(p, sub(t, all(12582912.0f))); }

// Of the sums or the largest of elements 8 apart, then 4, 2 and 1.
static inline float sum_across(vector v) {
    const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

static inline float largest_across(vector v) {
    const __m256 y = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

// NaN stays NaN, because these instructions return their second operand then.
static inline vector at_least(vector lo, vector x) { return _mm512_max_ps(lo, x); }
static inline vector at_most(vector hi, vector x) { return _mm512_min_ps(hi, x); }
static inline vector clamp(vector x, vector lo, vector hi) { return at_most(hi, at_least(lo, x)); }

// c = clamp(sum + addend) for the first `count` elements; addend may be NULL.
static inline void finish(float *c, size_t count, vector sum, const float *addend, vector lo, vector hi) {
    const mask m = first(count);
    if (addend) sum = add(sum, load_some(addend, m));
    store_some(c, m, clamp(sum, lo, hi));
}

#endif
