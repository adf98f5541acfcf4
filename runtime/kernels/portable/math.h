// math.h - the functions of one float32 that operators need, without a C library.
// SPDX-License-Identifier: Apache-2.0
//
// Bit-identical on every IEEE 754 machine when nothing is contracted (-ffp-contract=off) and float is evaluated as float.
// Every function takes NaN, infinities and subnormal numbers; sqrt is __builtin_sqrtf (needs -fno-math-errno).
// Ranges are reduced as in Cody and Waite (Software Manual for the Elementary Functions, 1980) and Cephes (Moshier, 1989);
// the polynomials were fitted to the reduced ranges by reweighted least squares (Lawson) and rounded to float32.
//
// Largest error in units in the last place, over float32 values of all magnitudes (tests/ops/math_test.py holds it):
//
//     exp 1   expm1 1   log 1   sigmoid 2.5 (0 below -87)   tanh 2.6   softplus 2   erf 2.6   pow 0.51
//     sin, cos 1.5   tan 3.5   asin 2.4   acos 1.2   atan 1.6   sinh 2.2   cosh 1.5   asinh 2   acosh 2.6   atanh 2.5
#ifndef TODY_PORTABLE_MATH_H
#define TODY_PORTABLE_MATH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TODY_INF __builtin_inff()
#define TODY_NAN __builtin_nanf("")
#define LN2_HI 0.693359375f  // ten bits: n * LN2_HI is exact
#define LN2_LO (-2.12194440e-4f)

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float abs_f32(float x) { return float_of(bits_of(x) & 0x7FFFFFFFu); }
static inline float with_sign(float magnitude, float sign) {
    return float_of(bits_of(magnitude) | (bits_of(sign) & 0x80000000u));
}

// Half to even. Adding 2^23 leaves no room for a fraction; what is larger has none.
static inline float round_f32(float x) {
    float a = abs_f32(x);
    float r = (a + 8388608.0f) - 8388608.0f;
    return a < 8388608.0f ? with_sign(r, x) : x;
}

static inline float floor_f32(float x) {
    float r = round_f32(x);
    return r > x ? r - 1.0f : r;
}

static inline float ceil_f32(float x) {
    float r = round_f32(x);
    return with_sign(r < x ? r + 1.0f : r, x);
}

// exp(r) - 1 = r + r^2 (EXP_2 + EXP_3 r + ..), of all sets
#define EXP_2 0.49999997f
#define EXP_3 0.16666532f
#define EXP_4 0.041667756f
#define EXP_5 0.008367685f
#define EXP_6 0.0013848195f

// exp(x) = 2^n (1 + p), |r| <= ln2 / 2, by Cody and Waite's two-part reduction. p keeps its relative precision, so that expm1
// has it too. x must be within 2^22; n comes out of the low bits of a float, so that no NaN is ever converted to an integer.
static inline float exp_core(float x, int32_t *n) {
    float t = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
    float k = t - 12582912.0f;
    *n = (int32_t)(bits_of(t) & 0x7FFFFFu) - 0x400000;
    float r = (x - k * LN2_HI) - k * LN2_LO;
    float q = (((EXP_6 * r + EXP_5) * r + EXP_4) * r + EXP_3) * r + EXP_2;
    return r * r * q + r;
}

// 2^n for -126 <= n <= 127, and infinity for 128
static inline float power_of_2(int32_t n) { return float_of((uint32_t)(n + 127) << 23); }

// x held to [lo, hi]; NaN stays
static inline float hold(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

// exp(x) * 2^shift, -1 <= shift <= 0. Two factors, so that neither a large result nor a subnormal one is lost on the way.
static inline float exp_scaled(float x, int32_t shift) {
    int32_t n;
    float p = exp_core(hold(x, -105.0f, 90.0f), &n) + 1.0f;
    int32_t half = (n + shift) / 2;
    return p * power_of_2(half) * power_of_2(n + shift - half);
}

static inline float exp_f32(float x) { return exp_scaled(x, 0); }

// exp(x) for x <= 0; below EXP_END 0, because many CPUs take a hundred cycles for a subnormal number
#define EXP_END (-80.0f)
static inline float exp_share(float x) {
    float e = exp_f32(hold(x, EXP_END, 0.0f));
    return x < EXP_END ? 0.0f : e;
}

// exp(x) - 1 for x <= 88
static inline float expm1_f32(float x) {
    int32_t n;
    float p = exp_core(hold(x, -18.0f, 88.0f), &n);
    float scale = power_of_2(n);
    return scale * p + (scale - 1.0f);
}

// x = 2^k m with sqrt(1/2) <= m < sqrt(2); x positive and finite
static inline float split_f32(float x, float *k) {
    float normal = x < 1.17549435e-38f ? x * 8388608.0f : x;
    uint32_t bits = bits_of(normal) + (0x3F800000u - 0x3F3504F3u);
    *k = (float)((int32_t)(bits >> 23) - (x < 1.17549435e-38f ? 150 : 127));
    return float_of((bits & 0x7FFFFFu) + 0x3F3504F3u);
}

// log(2^k (1 + f)) = k ln2 + f - f^2 / 2 + f^3 P(f)
static inline float log_f32(float x) {
    float k;
    float f = split_f32(x, &k) - 1.0f;
    float p = (((0.0692726746f * f - 0.118082397f) * f + 0.118774474f) * f - 0.123817071f) * f + 0.142177731f;
    p = (((p * f - 0.166693643f) * f + 0.200022697f) * f - 0.249999851f) * f + 0.333333105f;
    float tail = f * f * f * p + k * LN2_LO - 0.5f * f * f;
    float y = (tail + f) + k * LN2_HI;
    float edge = x == 0.0f ? -TODY_INF : TODY_NAN;
    return x > 0.0f ? (x < TODY_INF ? y : x) : edge;
}

// log(1 + x): log of the rounded sum, plus what the rounding lost
static inline float log1p_f32(float x) {
    float sum = 1.0f + x;
    float lost = x < 16777216.0f ? (x - (sum - 1.0f)) / sum : 0.0f;
    return log_f32(sum) + (sum == 0.0f ? 0.0f : lost);
}

// 1 + exp(x), which gates of -x are divided by: infinite above GATE_END, so that no quotient is subnormal
#define GATE_END 86.98997f  // 125.5 ln2
static inline float one_and_exp(float x) {
    int32_t n;
    float p = exp_core(hold(x, -87.0f, 87.0f), &n) + 1.0f;
    return 0.25f * (p * power_of_2(n + 2)) + 1.0f;
}

static inline float sigmoid_f32(float x) { return 1.0f / one_and_exp(-x); }

static inline float tanh_f32(float x) {
    float e = expm1_f32(-2.0f * abs_f32(x));
    return with_sign(-e / (2.0f + e), x);
}

// log(1 + exp(x))
static inline float softplus_f32(float x) { return (x < 0.0f ? 0.0f : x) + log1p_f32(exp_f32(-abs_f32(x))); }

// x P(x^2) up to 0.875, then 1 - exp(Q(|x|))
static inline float erf_f32(float x) {
    float a = abs_f32(x), z = x * x, t = a < 4.0f ? a : 4.0f;
    float p = ((8.6754284e-05f * z - 0.000821111316f) * z + 0.00520674838f) * z - 0.0268615857f;
    p = ((p * z + 0.11283733f) * z - 0.376126349f) * z + 1.12837923f;
    float q = (((-2.04513562e-05f * t + 0.000427082938f) * t - 0.00413564499f) * t + 0.0250271428f) * t - 0.108139031f;
    q = ((q * t - 0.633473456f) * t - 1.12945318f) * t + 0.000162024677f;
    float large = with_sign(1.0f - exp_f32(q), x);
    return a < 0.875f ? x * p : a == a ? large : x;
}

#define NORMAL_END 5.3f

// The part of the normal distribution between 0 and x, within 2.5e-7: x P(x^2) / Q(x^2), and from NORMAL_END on 0.5 exactly.
static inline float normal_f32(float x) {
    float t = hold(x, -NORMAL_END, NORMAL_END), z = t * t;
    float p = (2.405029e-08f * z + 6.3788916e-06f) * z + 0.00016032475f;
    p = ((p * z + 0.0046279323f) * z + 0.032934934f) * z + 0.39894226f;
    float q = (1.2371556e-06f * z + 7.1348666e-05f) * z + 0.0018365165f;
    q = ((q * z + 0.028138315f) * z + 0.24922188f) * z + 1.0f;
    return t * p / q;
}

// x = n pi/2 + r with |r| <= pi/4 (a little more where n was rounded). Below 2^25 by Cody and Waite in double precision, above
// by Payne and Hanek: the product with the 96 bits of 2/pi that matter modulo 4. n is modulo 2^32, the last two bits count.
static inline float reduce_half_pi(float x, uint32_t *n) {
    static const uint32_t two_over_pi[7] = {0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u, 0xF534DDC0u,
                                            0xDB629599u, 0x3C439041u, 0xFE5163ABu};
    if (abs_f32(x) < 33554432.0f) {
        double t = (double)x * 0.63661977236758134 + 6755399441055744.0;  // 1.5 * 2^52
        double k = t - 6755399441055744.0;
        uint64_t bits;
        memcpy(&bits, &t, sizeof bits);
        *n = (uint32_t)bits;
        return (float)(((double)x - k * 1.5707963109016418457) - k * 1.5893254773528197e-08);
    }
    *n = 0;
    if (!(abs_f32(x) < TODY_INF)) return TODY_NAN;
    uint32_t at = ((bits_of(x) >> 23) & 0xFFu) - 152u;  // of the first of the 96 bits: exponent of the last bit, less two
    const uint32_t *word = two_over_pi + at / 32u;
    uint64_t window[3];
    for (uint32_t i = 0; i < 3; i++) window[i] = (uint32_t)((((uint64_t)word[i] << 32 | word[i + 1]) << (at % 32u)) >> 32);
    uint64_t m = (bits_of(x) & 0x7FFFFFu) | 0x800000u;
    uint64_t middle = window[1] * m + (window[2] * m >> 32);
    uint64_t product = ((window[0] * m + (middle >> 32)) << 32) | (middle & 0xFFFFFFFFu);
    uint64_t quarter = (product + ((uint64_t)1 << 61)) >> 62;
    float r = (float)((double)(int64_t)(product - (quarter << 62)) * 3.4061215800304123e-19);  // pi/2 / 2^62
    *n = x < 0.0f ? 0u - (uint32_t)quarter : (uint32_t)quarter;
    return x < 0.0f ? -r : r;
}

static inline float sin_core(float r) {
    float z = r * r;
    return (((2.71756448e-06f * z - 0.000198392561f) * z + 0.00833332911f) * z - 0.166666672f) * z * r + r;
}

static inline float cos_core(float r) {
    float z = r * r;
    return (((-2.7203302e-07f * z + 2.47994358e-05f) * z - 0.00138888834f) * z + 0.0416666679f) * z * z - 0.5f * z + 1.0f;
}

static inline float sin_f32(float x) {
    uint32_t n;
    float r = reduce_half_pi(x, &n);
    float y = n & 1u ? cos_core(r) : sin_core(r);
    return n & 2u ? -y : y;
}

static inline float cos_f32(float x) {
    uint32_t n;
    float r = reduce_half_pi(x, &n);
    float y = n & 1u ? sin_core(r) : cos_core(r);
    return (n + 1u) & 2u ? -y : y;
}

static inline float tan_f32(float x) {
    uint32_t n;
    float r = reduce_half_pi(x, &n);
    return n & 1u ? -cos_core(r) / sin_core(r) : sin_core(r) / cos_core(r);
}

// asin(x) for |x| <= 1/2, given x^2
static inline float asin_core(float x, float z) {
    float p = ((0.037565209f * z + 0.0144026009f) * z + 0.0318176113f) * z + 0.0445157215f;
    return ((p * z + 0.0750051066f) * z + 0.166666597f) * z * x + x;
}

// Beyond 1/2: asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)). Outside [-1, 1] the root is NaN.
static inline float asin_f32(float x) {
    float a = abs_f32(x), z = (1.0f - a) * 0.5f;
    float far = 1.57079637f - (2.0f * asin_core(__builtin_sqrtf(z), z) + 4.37113883e-08f);
    return a <= 0.5f ? asin_core(x, x * x) : with_sign(far, x);
}

static inline float acos_f32(float x) {
    float z = (1.0f - abs_f32(x)) * 0.5f;
    float far = 2.0f * asin_core(__builtin_sqrtf(z), z);
    if (abs_f32(x) <= 0.5f) return 1.57079637f - (asin_core(x, x * x) + 4.37113883e-08f);
    return x < 0.0f ? 3.14159274f - (far + 8.74227766e-08f) : far;
}

// Beyond 1: atan(x) = pi/2 - atan(1/x)
static inline float atan_f32(float x) {
    float a = abs_f32(x), t = a > 1.0f ? 1.0f / a : a, z = t * t;
    float p = (((-0.00182721403f * z + 0.0110644456f) * z - 0.0314557105f) * z + 0.0582345612f) * z - 0.0841946006f;
    p = (((p * z + 0.109575763f) * z - 0.142652452f) * z + 0.199986383f) * z - 0.333333015f;
    float y = p * z * t + t;
    return with_sign(a > 1.0f ? 1.57079637f - (y + 4.37113883e-08f) : y, x);
}

static inline float sinh_f32(float x) {
    float a = abs_f32(x), e = expm1_f32(a);
    float y = a < 1.0f ? 0.5f * (e + e / (e + 1.0f)) : exp_scaled(a, -1) - exp_scaled(-a, -1);
    return with_sign(y, x);
}

static inline float cosh_f32(float x) { return exp_scaled(x, -1) + exp_scaled(-x, -1); }

// The last lines of the next two: beyond 4096 the square may overflow, and 1 is below the rounding error.
static inline float asinh_f32(float x) {
    float a = abs_f32(x);
    float y = log1p_f32(a + a * a / (1.0f + __builtin_sqrtf(a * a + 1.0f)));
    return with_sign(a < 4096.0f ? y : log_f32(a) + 0.693147182f, x);
}

static inline float acosh_f32(float x) {
    float t = x - 1.0f;
    float y = log1p_f32(t + __builtin_sqrtf(t * (2.0f + t)));
    float far = log_f32(x) + 0.693147182f;
    return x < 1.0f ? TODY_NAN : x < 4096.0f ? y : far;
}

static inline float atanh_f32(float x) {
    float a = abs_f32(x);
    return with_sign(0.5f * log1p_f32(2.0f * a / (1.0f - a)), x);
}

// Remainder with the sign of x, exact: long division of the integers behind the floats, 40 bits at a time.
static inline float fmod_f32(float x, float y) {
    uint32_t a = bits_of(x) & 0x7FFFFFFFu, b = bits_of(y) & 0x7FFFFFFFu;
    if (a >= 0x7F800000u || b > 0x7F800000u || b == 0) return TODY_NAN;
    if (a < b) return x;
    uint32_t a_exponent = a >> 23 ? a >> 23 : 1u, b_exponent = b >> 23 ? b >> 23 : 1u;
    uint64_t m = (a & 0x7FFFFFu) | (a >> 23 ? 0x800000u : 0u);
    uint64_t divisor = (b & 0x7FFFFFu) | (b >> 23 ? 0x800000u : 0u);
    m %= divisor;
    for (uint32_t shift = a_exponent - b_exponent; shift > 0;) {
        uint32_t step = shift < 40u ? shift : 40u;
        m = (m << step) % divisor;
        shift -= step;
    }
    while (m && m < 0x800000u && b_exponent > 1) m <<= 1, b_exponent--;
    uint32_t bits = m < 0x800000u ? (uint32_t)m : ((uint32_t)m & 0x7FFFFFu) | b_exponent << 23;
    return with_sign(float_of(bits), x);
}

// log2 in double precision: 2 atanh(s) / ln2 with s = (m - 1) / (m + 1), |s| < 0.172
static inline double log2_f64(float x) {
    float k;
    double m = (double)split_f32(x, &k);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = ((((z / 13.0 + 1.0 / 11.0) * z + 1.0 / 9.0) * z + 1.0 / 7.0) * z + 1.0 / 5.0) * z + 1.0 / 3.0;
    return (double)k + (p * z + 1.0) * s * 2.8853900817779268;
}

// 2^t rounded once to float, by Taylor's series on |t - n| <= 1/2
static inline float exp2_f64(double t) {
    double held = t < -160.0 ? -160.0 : t > 130.0 ? 130.0 : t;
    double shifted = held + 6755399441055744.0, f = (held - (shifted - 6755399441055744.0)) * 0.69314718055994531;
    double y = (((f / 3628800.0 + 1.0 / 362880.0) * f + 1.0 / 40320.0) * f + 1.0 / 5040.0) * f + 1.0 / 720.0;
    y = (((((y * f + 1.0 / 120.0) * f + 1.0 / 24.0) * f + 1.0 / 6.0) * f + 0.5) * f + 1.0) * f + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (uint64_t)((uint32_t)bits + 1023u) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return (float)(y * scale);
}

// |x|^y for x and y without NaN
static inline float pow_magnitude(float x, float y) {
    if (x == 0.0f || x == TODY_INF) return (x == 0.0f) == (y < 0.0f) ? TODY_INF : 0.0f;
    if (x == 1.0f) return 1.0f;
    return exp2_f64((double)y * log2_f64(x));
}

// The special values are those of IEEE 754's pow.
static inline float pow_f32(float x, float y) {
    if (y == 0.0f || x == 1.0f) return 1.0f;
    if (x != x || y != y) return TODY_NAN;
    bool whole = floor_f32(y) == y, odd = whole && floor_f32(0.5f * y) != 0.5f * y;
    if (x < 0.0f && x > -TODY_INF && !whole) return TODY_NAN;
    float magnitude = pow_magnitude(abs_f32(x), y);
    return odd ? with_sign(magnitude, x) : magnitude;
}

#endif
