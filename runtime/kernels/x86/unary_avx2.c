// unary_avx2.c - functions of one float32 that models use often; the others are portable.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "math_avx2.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 leaky_relu(__m256 x, __m256 a, __m256 b) {
    (void)b;
    return choose(below(x, all(0.0f)), mul(a, x), x);
}

INLINE __m256 elu(__m256 x, __m256 a, __m256 b) {
    (void)b;
    return choose(below(all(0.0f), x), x, mul(a, expm1_8(x)));
}

INLINE __m256 sigmoid(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return sigmoid8(x);
}

INLINE __m256 tangent(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return tanh8(x);
}

INLINE __m256 hard_sigmoid(__m256 x, __m256 a, __m256 b) { return clamp(add(mul(a, x), b), all(0.0f), all(1.0f)); }

INLINE __m256 hard_swish(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return mul(x, clamp(step(x, all(0.166666667f), 0.5f), all(0.0f), all(1.0f)));
}

INLINE __m256 silu(__m256 x, __m256 a, __m256 b) {
    (void)b;
    return mul(x, sigmoid8(mul(a, x)));
}

INLINE __m256 gelu(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return mul(mul(all(0.5f), x), add(all(1.0f), erf8(mul(x, all(0.707106781f)))));
}

INLINE __m256 gelu_tanh(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    const __m256 cube = mul(mul(mul(all(0.044715f), x), x), x);
    return mul(x, sigmoid8(mul(all(1.59576912f), add(x, cube))));
}

INLINE __m256 mish(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    const __m256 e = exp8(negative(magnitude(x))), two = all(2.0f), minus = below(x, all(0.0f));
    const __m256 numerator = choose(minus, mul(e, add(e, two)), add(all(1.0f), mul(two, e)));
    const __m256 rest = choose(minus, two, mul(mul(two, e), e));
    return mul(x, divide(numerator, add(numerator, rest)));
}

INLINE __m256 affine(__m256 x, __m256 a, __m256 b) { return add(mul(a, x), b); }

INLINE __m256 exponential(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return exp8(x);
}

INLINE __m256 square_root(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return _mm256_sqrt_ps(x);
}

INLINE __m256 reciprocal(__m256 x, __m256 a, __m256 b) {
    (void)a, (void)b;
    return divide(all(1.0f), x);
}

// Inlined with its function.
INLINE void map(__m256 (*fn)(__m256, __m256, __m256), float a, float b, const float *x, float *y, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, fn(_mm256_loadu_ps(x + i), all(a), all(b)));
    if (i == count) return;
    const __m256i mask = first(count - i);
    _mm256_maskstore_ps(y + i, mask, fn(_mm256_maskload_ps(x + i, mask), all(a), all(b)));
}

void tody_unary_f32_avx2(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
    switch (fn) {
        case TODY_FN_CLAMP: map(clamp, a, b, x, y, count); break;
        case TODY_FN_LEAKY_RELU: map(leaky_relu, a, b, x, y, count); break;
        case TODY_FN_ELU: map(elu, a, b, x, y, count); break;
        case TODY_FN_SIGMOID: map(sigmoid, a, b, x, y, count); break;
        case TODY_FN_TANH: map(tangent, a, b, x, y, count); break;
        case TODY_FN_HARD_SIGMOID: map(hard_sigmoid, a, b, x, y, count); break;
        case TODY_FN_HARD_SWISH: map(hard_swish, a, b, x, y, count); break;
        case TODY_FN_SILU: map(silu, a, b, x, y, count); break;
        case TODY_FN_GELU: map(gelu, a, b, x, y, count); break;
        case TODY_FN_GELU_TANH: map(gelu_tanh, a, b, x, y, count); break;
        case TODY_FN_MISH: map(mish, a, b, x, y, count); break;
        case TODY_FN_AFFINE: map(affine, a, b, x, y, count); break;
        case TODY_FN_EXP: map(exponential, a, b, x, y, count); break;
        case TODY_FN_SQRT: map(square_root, a, b, x, y, count); break;
        case TODY_FN_RECIPROCAL: map(reciprocal, a, b, x, y, count); break;
        default: tody_kernels_portable.unary_f32(fn, a, b, x, y, count); break;
    }
}
