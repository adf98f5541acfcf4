// math.h - portable/math.h for a vector: the same operations in the same order, and so the same bits.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_MATH_H
#define TODY_X86_MATH_H

#include "../portable/math.h"
#include "vector.h"

// p * x + q, rounded twice
static inline vector step(vector p, vector x, float q) { return add(mul(p, x), all(q)); }

static inline vector exp_less_1(vector x, integers *n) {
    const vector t = add(mul(x, all(1.44269504f)), all(12582912.0f));
    const vector k = sub(t, all(12582912.0f));
    *n = integer_of(t);
    const vector r = sub(sub(x, mul(k, all(LN2_HI))), mul(k, all(LN2_LO)));
    vector q = step(all(0.000199145943f), r, 0.0013941311f);
    q = step(step(step(step(q, r, 0.0083332723f), r, 0.0416663513f), r, 0.166666672f), r, 0.5f);
    return add(mul(mul(r, r), q), r);
}

static inline vector exp_of(vector x) {
    integers n;
    const vector p = add(exp_less_1(clamp(x, all(-105.0f), all(90.0f)), &n), all(1.0f));
    const integers half = half_of(n);
    return mul(mul(p, scale_of(half)), scale_of(difference(n, half)));
}

static inline vector expm1_of(vector x) {
    integers n;
    const vector p = exp_less_1(clamp(x, all(-18.0f), all(88.0f)), &n);
    const vector scale = scale_of(n);
    return add(mul(scale, p), sub(scale, all(1.0f)));
}

static inline vector sigmoid_of(vector x) {
    const vector e = exp_of(negative(magnitude(x)));
    return divide(choose(below(x, all(0.0f)), e, all(1.0f)), add(all(1.0f), e));
}

static inline vector tanh_of(vector x) {
    const vector e = expm1_of(mul(all(-2.0f), magnitude(x)));
    return signed_as(divide(negative(e), add(all(2.0f), e)), x);
}

static inline vector erf_of(vector x) {
    const vector a = magnitude(x), z = mul(x, x), t = choose(below(a, all(4.0f)), a, all(4.0f));
    vector p = step(step(step(all(8.6754284e-05f), z, -0.000821111316f), z, 0.00520674838f), z, -0.0268615857f);
    p = step(step(step(p, z, 0.11283733f), z, -0.376126349f), z, 1.12837923f);
    vector q = step(step(all(-2.04513562e-05f), t, 0.000427082938f), t, -0.00413564499f);
    q = step(step(q, t, 0.0250271428f), t, -0.108139031f);
    q = step(step(step(q, t, -0.633473456f), t, -1.12945318f), t, 0.000162024677f);
    const vector large = signed_as(sub(all(1.0f), exp_of(q)), x);
    return choose(below(a, all(0.875f)), mul(x, p), choose(is_nan(x), x, large));
}

#endif
