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

static inline vector all(float x) { return _mm256_set1_ps(x); }
static inline vector mul(vector x, vector y) { return _mm256_mul_ps(x, y); }
static inline vector add(vector x, vector y) { return _mm256_add_ps(x, y); }
static inline vector sub(vector x, vector y) { return _mm256_sub_ps(x, y); }
static inline vector divide(vector x, vector y) { return _mm256_div_ps(x, y); }
static inline vector root(vector x) { return _mm256_sqrt_ps(x); }
static inline vector add_product(vector x, vector y, vector sum) { return _mm256_fmadd_ps(x, y, sum); }
static inline vector larger(vector x, vector y) { return _mm256_max_ps(x, y); }  // y if one is NaN

static inline truth below(vector x, vector y) { return _mm256_cmp_ps(x, y, _CMP_LT_OQ); }
static inline truth is_nan(vector x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
static inline truth either(truth p, truth q) { return _mm256_or_ps(p, q); }
static inline vector choose(truth condition, vector yes, vector no) { return _mm256_blendv_ps(no, yes, condition); }

static inline vector negative(vector x) { return _mm256_xor_ps(x, all(-0.0f)); }
static inline vector magnitude(vector x) { return _mm256_andnot_ps(all(-0.0f), x); }
static inline vector signed_as(vector x, vector sign) { return _mm256_or_ps(x, _mm256_and_ps(all(-0.0f), sign)); }

// n of 1.5 * 2^23 + n
static inline integers integer_of(vector t) {
    return _mm256_sub_epi32(_mm256_and_si256(_mm256_castps_si256(t), _mm256_set1_epi32(0x7FFFFF)), _mm256_set1_epi32(0x400000));
}

static inline vector scale_of(integers n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// n / 2, towards zero
static inline integers half_of(integers n) { return _mm256_srai_epi32(_mm256_add_epi32(n, _mm256_srli_epi32(n, 31)), 1); }

static inline integers difference(integers n, integers m) { return _mm256_sub_epi32(n, m); }

// min(max(x, lo), hi); NaN stays NaN, because these instructions return their second operand then.
static inline vector clamp(vector x, vector lo, vector hi) { return _mm256_min_ps(hi, _mm256_max_ps(lo, x)); }

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
