// math.h - portable/math.h for a vector: the same formulas with products and sums fused, in all sets alike.
// SPDX-License-Identifier: Apache-2.0
//
// A set includes its vectors before this: x86/vector.h, neon/vector.h.
#ifndef TODY_KERNELS_MATH_H
#define TODY_KERNELS_MATH_H

#include "portable/math.h"

// p * x + q, rounded once: half the instructions of a polynomial, and half the time until its result is there
static inline vector step(vector p, vector x, float q) { return add_product(p, x, all(q)); }

// The same rounded twice
static inline vector apart(vector p, vector x, float q) { return add(mul(p, x), all(q)); }

#define ROUNDING 12582912.0f  // 1.5 * 2^23: what is added to it is rounded to an integer
#define BIAS 127.0f           // of the exponent of a float32: what scale_of wants to have been added

// x - n ln 2, at most half of ln 2 and as exact as float32; *t is ROUNDING + more + n
static inline vector reduced(vector x, vector *t, const float more) {
    *t = step(x, all(1.44269504f), ROUNDING + more);
    const vector k = sub(*t, all(ROUNDING + more));
    return less_product(k, all(LN2_LO), less_product(k, all(LN2_HI), x));
}

// exp(x) = 2^n (1 + p); *t is ROUNDING + more + n
static inline vector exp_less_1(vector x, vector *t, const float more) {
    const vector r = reduced(x, t, more);
    vector q = step(step(all(EXP_6), r, EXP_5), r, EXP_4);
    q = step(step(q, r, EXP_3), r, EXP_2);
    return add_product(mul(r, r), q, r);
}

static inline vector exp_of(vector x) {
    vector t;
    const vector p = add(exp_less_1(clamp(x, all(-105.0f), all(90.0f)), &t, 0.0f), all(1.0f));
    return scaled(p, t);
}

// Of x within [-87, 88], or NaN
static inline vector exp_near(vector x) {
    vector t;
    const vector p = add(exp_less_1(x, &t, BIAS), all(1.0f));
    return mul(p, scale_of(t));
}

// Of x <= 0; 0 below EXP_END
static inline vector exp_share_of(vector x) {
    const vector end = all(EXP_END);
    return choose(below(x, end), all(0.0f), exp_near(clamp(x, end, all(0.0f))));
}

static inline vector expm1_of(vector x) {
    vector t;
    const vector p = exp_less_1(clamp(x, all(-18.0f), all(88.0f)), &t, BIAS), scale = scale_of(t);
    return add_product(scale, p, sub(scale, all(1.0f)));
}

// 1 + exp(x), which gates of -x are divided by: infinite above GATE_END, so that no quotient is subnormal. A quarter of exp(r),
// 9e-8 of it off, in pairs of terms, which wait less for each other and take fewer instructions.
static inline vector one_and_exp_of(vector x) {
    vector t;
    const vector r = reduced(clamp(x, all(-87.0f), all(87.0f)), &t, BIAS + 2.0f), z = mul(r, r);
    const vector last = step(all(0.0020725683f), r, 0.01047454f), middle = step(all(0.041669097f), r, 0.12499787f);
    const vector quarter = add_product(add_product(last, z, middle), z, step(all(0.24999993f), r, 0.25f));
    return step(quarter, scale_of(t), 1.0f);
}

static inline vector tanh_of(vector x) {
    const vector e = expm1_of(mul(all(-2.0f), magnitude(x)));
    return signed_as(divide(negative(e), add(all(2.0f), e)), x);
}

// The part of the normal distribution between 0 and x, rounded apart so that it ends in 0.5 exactly, as that of portable does
static inline vector normal_of(vector x) {
    const vector t = clamp(x, all(-NORMAL_END), all(NORMAL_END)), z = mul(t, t);
    vector p = apart(apart(all(2.405029e-08f), z, 6.3788916e-06f), z, 0.00016032475f);
    p = apart(apart(apart(p, z, 0.0046279323f), z, 0.032934934f), z, 0.39894226f);
    vector q = apart(apart(all(1.2371556e-06f), z, 7.1348666e-05f), z, 0.0018365165f);
    q = apart(apart(apart(q, z, 0.028138315f), z, 0.24922188f), z, 1.0f);
    return divide(mul(t, p), q);
}

#endif
