// unary.h - functions of one float32 that models use often; the others are portable.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this, TOGETHER: vectors that go by in one round, so that they do not wait for each other.
#ifndef TODY_KERNELS_UNARY_H
#define TODY_KERNELS_UNARY_H

#include "core/format.h"
#include "math.h"

#define INLINE static inline __attribute__((always_inline))

INLINE vector leaky_relu(vector x, vector a, vector b) {
    (void)b;
    return choose(below(x, all(0.0f)), mul(a, x), x);
}

INLINE vector elu(vector x, vector a, vector b) {
    (void)b;
    return choose(below(all(0.0f), x), x, mul(a, expm1_of(x)));
}

INLINE vector sigmoid(vector x, vector a, vector b) {
    (void)a, (void)b;
    return divide(all(1.0f), one_and_exp_of(negative(x)));
}

INLINE vector tangent(vector x, vector a, vector b) {
    (void)a, (void)b;
    return tanh_of(x);
}

INLINE vector hard_sigmoid(vector x, vector a, vector b) { return clamp(add(mul(a, x), b), all(0.0f), all(1.0f)); }

INLINE vector hard_swish(vector x, vector a, vector b) {
    (void)a, (void)b;
    return mul(x, clamp(apart(x, all(0.166666667f), 0.5f), all(0.0f), all(1.0f)));
}

INLINE vector silu(vector x, vector a, vector b) {
    (void)b;
    return divide(x, one_and_exp_of(mul(negative(a), x)));
}

INLINE vector gelu(vector x, vector a, vector b) {
    (void)a, (void)b;
    return mul(x, add(all(0.5f), normal_of(x)));
}

INLINE vector gelu_tanh(vector x, vector a, vector b) {
    (void)a, (void)b;
    const vector cube = mul(mul(mul(all(0.044715f), x), x), x);
    return divide(x, one_and_exp_of(mul(all(-1.59576912f), add(x, cube))));
}

INLINE vector mish(vector x, vector a, vector b) {
    (void)a, (void)b;
    const vector e = exp_of(below_zero(x)), two = all(2.0f);
    const truth minus = below(x, all(0.0f));
    const vector numerator = choose(minus, mul(e, add(e, two)), add(all(1.0f), mul(two, e)));
    const vector rest = choose(minus, two, mul(mul(two, e), e));
    return mul(x, divide(numerator, add(numerator, rest)));
}

INLINE vector affine(vector x, vector a, vector b) { return add(mul(a, x), b); }

INLINE vector exponential(vector x, vector a, vector b) {
    (void)a, (void)b;
    return exp_of(x);
}

INLINE vector square_root(vector x, vector a, vector b) {
    (void)a, (void)b;
    return root(x);
}

INLINE vector reciprocal(vector x, vector a, vector b) {
    (void)a, (void)b;
    return divide(all(1.0f), x);
}

// Inlined with its function.
INLINE void map(vector (*fn)(vector, vector, vector), float a, float b, const float *x, float *y, size_t count) {
    enum { ROUND = TOGETHER * WIDTH };
    for (const float *end = x + count / ROUND * ROUND; x < end; x += ROUND, y += ROUND) {
        vector v[TOGETHER];
#pragma GCC unroll 4
        for (size_t i = 0; i < TOGETHER; i++) v[i] = fn(load(x + i * WIDTH), all(a), all(b));
#pragma GCC unroll 4
        for (size_t i = 0; i < TOGETHER; i++) store(y + i * WIDTH, v[i]);
    }
    for (size_t left = count % ROUND / WIDTH; left > 0; left--, x += WIDTH, y += WIDTH) store(y, fn(load(x), all(a), all(b)));
    if (count % WIDTH == 0) return;
    const mask m = first(count % WIDTH);
    store_some(y, m, fn(load_some(x, m), all(a), all(b)));
}

static inline void unary_f32(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
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

#endif
