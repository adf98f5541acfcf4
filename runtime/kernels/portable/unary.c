// unary.c - functions of one float32.
// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>

#include "core/format.h"
#include "math.h"
#include "portable.h"

#define BLOCK 32u
#define INLINE static inline __attribute__((always_inline))

static inline float leaky_relu(float x, float a) { return x < 0.0f ? a * x : x; }
static inline float elu(float x, float a) { return x > 0.0f ? x : a * expm1_f32(x); }
static inline float selu(float x, float a, float b) { return b * elu(x, a); }
static inline float celu(float x, float a) { return x > 0.0f ? x : a * expm1_f32(x / a); }
static inline float hard_sigmoid(float x, float a, float b) { return hold(a * x + b, 0.0f, 1.0f); }
static inline float hard_swish(float x) { return x * hold(x * 0.166666667f + 0.5f, 0.0f, 1.0f); }
static inline float silu(float x, float a) { return x / one_and_exp(-a * x); }
static inline float gelu(float x) { return x * (0.5f + normal_f32(x)); }

// x (1 + tanh(u)) / 2 is x sigmoid(2u)
static inline float gelu_tanh(float x) { return x / one_and_exp(-1.59576912f * (x + 0.044715f * x * x * x)); }

// x tanh(log(1 + exp(x))), with numerator and denominator of the tanh divided by exp(2x) where x is positive
static inline float mish(float x) {
    float e = exp_f32(-abs_f32(x));
    float numerator = x < 0.0f ? e * (e + 2.0f) : 1.0f + 2.0f * e;
    float rest = x < 0.0f ? 2.0f : 2.0f * e * e;
    return x * (numerator / (numerator + rest));
}

static inline float softsign(float x) { return x / (1.0f + abs_f32(x)); }
static inline float thresholded_relu(float x, float a) { return x > a ? x : 0.0f; }
static inline float shrink(float x, float a, float b) { return x < -a ? x + b : x > a ? x - b : 0.0f; }
static inline float affine(float x, float a, float b) { return a * x + b; }
static inline float square_root(float x) { return __builtin_sqrtf(x); }
static inline float reciprocal(float x) { return 1.0f / x; }
static inline float negative(float x) { return -x; }
static inline float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

// The loops. Each call below is inlined with its function, and a block on the stack, always computed whole, tells the compiler
// that nothing overlaps (also where y is x) and that there is no rest: so it vectorises.
INLINE void load(float *t, const float *x, size_t n) {
    if (n >= BLOCK) memcpy(t, x, BLOCK * sizeof *t);
    for (size_t i = 0; n < BLOCK && i < n; i++) t[i] = x[i];
}

INLINE void store(float *y, const float *t, size_t n) {
    if (n >= BLOCK) memcpy(y, t, BLOCK * sizeof *t);
    for (size_t i = 0; n < BLOCK && i < n; i++) y[i] = t[i];
}

INLINE void map(float (*fn)(float), float *t) {
#pragma GCC unroll 1
    for (size_t i = 0; i < BLOCK; i++) t[i] = fn(t[i]);
}

INLINE void map_a(float (*fn)(float, float), float a, float *t) {
#pragma GCC unroll 1
    for (size_t i = 0; i < BLOCK; i++) t[i] = fn(t[i], a);
}

INLINE void map_ab(float (*fn)(float, float, float), float a, float b, float *t) {
#pragma GCC unroll 1
    for (size_t i = 0; i < BLOCK; i++) t[i] = fn(t[i], a, b);
}

// A block is loaded and stored in one place for all functions, which would take twice the code otherwise.
static void apply(uint32_t fn, float a, float b, float *t) {
    switch (fn) {
        case TODY_FN_CLAMP: map_ab(hold, a, b, t); break;
        case TODY_FN_LEAKY_RELU: map_a(leaky_relu, a, t); break;
        case TODY_FN_ELU: map_a(elu, a, t); break;
        case TODY_FN_SELU: map_ab(selu, a, b, t); break;
        case TODY_FN_CELU: map_a(celu, a, t); break;
        case TODY_FN_SIGMOID: map(sigmoid_f32, t); break;
        case TODY_FN_TANH: map(tanh_f32, t); break;
        case TODY_FN_HARD_SIGMOID: map_ab(hard_sigmoid, a, b, t); break;
        case TODY_FN_HARD_SWISH: map(hard_swish, t); break;
        case TODY_FN_SILU: map_a(silu, a, t); break;
        case TODY_FN_GELU: map(gelu, t); break;
        case TODY_FN_GELU_TANH: map(gelu_tanh, t); break;
        case TODY_FN_MISH: map(mish, t); break;
        case TODY_FN_SOFTPLUS: map(softplus_f32, t); break;
        case TODY_FN_SOFTSIGN: map(softsign, t); break;
        case TODY_FN_THRESHOLDED_RELU: map_a(thresholded_relu, a, t); break;
        case TODY_FN_SHRINK: map_ab(shrink, a, b, t); break;
        case TODY_FN_AFFINE: map_ab(affine, a, b, t); break;
        case TODY_FN_EXP: map(exp_f32, t); break;
        case TODY_FN_LOG: map(log_f32, t); break;
        case TODY_FN_SQRT: map(square_root, t); break;
        case TODY_FN_RECIPROCAL: map(reciprocal, t); break;
        case TODY_FN_ABS: map(abs_f32, t); break;
        case TODY_FN_NEG: map(negative, t); break;
        case TODY_FN_SIGN: map(sign, t); break;
        case TODY_FN_FLOOR: map(floor_f32, t); break;
        case TODY_FN_CEIL: map(ceil_f32, t); break;
        case TODY_FN_ROUND: map(round_f32, t); break;
        case TODY_FN_ERF: map(erf_f32, t); break;
        case TODY_FN_SIN: map(sin_f32, t); break;
        case TODY_FN_COS: map(cos_f32, t); break;
        case TODY_FN_TAN: map(tan_f32, t); break;
        case TODY_FN_ASIN: map(asin_f32, t); break;
        case TODY_FN_ACOS: map(acos_f32, t); break;
        case TODY_FN_ATAN: map(atan_f32, t); break;
        case TODY_FN_SINH: map(sinh_f32, t); break;
        case TODY_FN_COSH: map(cosh_f32, t); break;
        case TODY_FN_ASINH: map(asinh_f32, t); break;
        case TODY_FN_ACOSH: map(acosh_f32, t); break;
        case TODY_FN_ATANH: map(atanh_f32, t); break;
        default: break;
    }
}

void tody_portable_unary_f32(uint32_t fn, float a, float b, const float *x, float *y, size_t count) {
    float t[BLOCK] = {0};
    for (size_t at = 0; at < count; at += BLOCK) {
        load(t, x + at, count - at);
        apply(fn, a, b, t);
        store(y + at, t, count - at);
    }
}
