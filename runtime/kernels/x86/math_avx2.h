// math_avx2.h - portable/math.h for eight floats: the same operations in the same order, and so the same bits.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_MATH_AVX2_H
#define TODY_MATH_AVX2_H

#include "../portable/math.h"
#include "vector_avx2.h"

static inline __m256 all(float x) { return _mm256_set1_ps(x); }
static inline __m256 mul(__m256 x, __m256 y) { return _mm256_mul_ps(x, y); }
static inline __m256 add(__m256 x, __m256 y) { return _mm256_add_ps(x, y); }
static inline __m256 sub(__m256 x, __m256 y) { return _mm256_sub_ps(x, y); }
static inline __m256 divide(__m256 x, __m256 y) { return _mm256_div_ps(x, y); }
static inline __m256 below(__m256 x, __m256 y) { return _mm256_cmp_ps(x, y, _CMP_LT_OQ); }
static inline __m256 is_nan(__m256 x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
static inline __m256 choose(__m256 condition, __m256 yes, __m256 no) { return _mm256_blendv_ps(no, yes, condition); }
static inline __m256 negative(__m256 x) { return _mm256_xor_ps(x, all(-0.0f)); }
static inline __m256 magnitude(__m256 x) { return _mm256_andnot_ps(all(-0.0f), x); }
static inline __m256 signed_as(__m256 x, __m256 sign) { return _mm256_or_ps(x, _mm256_and_ps(all(-0.0f), sign)); }

// p * x + q, rounded twice
static inline __m256 step(__m256 p, __m256 x, float q) { return add(mul(p, x), all(q)); }

static inline __m256 exp_core8(__m256 x, __m256i *n) {
    const __m256 t = add(mul(x, all(1.44269504f)), all(12582912.0f));
    const __m256 k = sub(t, all(12582912.0f));
    *n = _mm256_sub_epi32(_mm256_and_si256(_mm256_castps_si256(t), _mm256_set1_epi32(0x7FFFFF)), _mm256_set1_epi32(0x400000));
    const __m256 r = sub(sub(x, mul(k, all(LN2_HI))), mul(k, all(LN2_LO)));
    __m256 q = step(all(0.000199145943f), r, 0.0013941311f);
    q = step(step(step(step(q, r, 0.0083332723f), r, 0.0416663513f), r, 0.166666672f), r, 0.5f);
    return add(mul(mul(r, r), q), r);
}

static inline __m256 power_of_2_8(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline __m256 exp8(__m256 x) {
    __m256i n;
    const __m256 p = add(exp_core8(clamp(x, all(-105.0f), all(90.0f)), &n), all(1.0f));
    const __m256i half = _mm256_srai_epi32(_mm256_add_epi32(n, _mm256_srli_epi32(n, 31)), 1);  // n / 2, towards zero
    return mul(mul(p, power_of_2_8(half)), power_of_2_8(_mm256_sub_epi32(n, half)));
}

static inline __m256 expm1_8(__m256 x) {
    __m256i n;
    const __m256 p = exp_core8(clamp(x, all(-18.0f), all(88.0f)), &n);
    const __m256 scale = power_of_2_8(n);
    return add(mul(scale, p), sub(scale, all(1.0f)));
}

static inline __m256 sigmoid8(__m256 x) {
    const __m256 e = exp8(negative(magnitude(x)));
    return divide(choose(below(x, all(0.0f)), e, all(1.0f)), add(all(1.0f), e));
}

static inline __m256 tanh8(__m256 x) {
    const __m256 e = expm1_8(mul(all(-2.0f), magnitude(x)));
    return signed_as(divide(negative(e), add(all(2.0f), e)), x);
}

static inline __m256 erf8(__m256 x) {
    const __m256 a = magnitude(x), z = mul(x, x), t = choose(below(a, all(4.0f)), a, all(4.0f));
    __m256 p = step(step(step(all(8.6754284e-05f), z, -0.000821111316f), z, 0.00520674838f), z, -0.0268615857f);
    p = step(step(step(p, z, 0.11283733f), z, -0.376126349f), z, 1.12837923f);
    __m256 q = step(step(all(-2.04513562e-05f), t, 0.000427082938f), t, -0.00413564499f);
    q = step(step(q, t, 0.0250271428f), t, -0.108139031f);
    q = step(step(step(q, t, -0.633473456f), t, -1.12945318f), t, 0.000162024677f);
    const __m256 large = signed_as(sub(all(1.0f), exp8(q)), x);
    return choose(below(a, all(0.875f)), mul(x, p), choose(is_nan(x), x, large));
}

#endif
