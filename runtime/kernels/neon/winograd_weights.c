// winograd_weights.c - the transform of Winograd's filters, on AArch64 in pairs of vectors, which one instruction stores.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

#if defined(__aarch64__)

enum { WIDTH = 8, UNROLL = 6, UNROLL_LINES = 6, BY_TWOS = 1, AHEAD = 0 };

typedef float32x4x2_t vector;

static inline vector load(const float *x) { return (vector){{vld1q_f32(x), vld1q_f32(x + 4)}}; }

static inline void store_next(float **p, size_t step, vector v) {
    vst1q_f32_x2(*p, v);
    *p += step;
}

static inline float32x4_t all(float x) { return vdupq_n_f32(x); }

static inline vector add_product(float32x4_t x, vector y, vector sum) {
    return (vector){{vfmaq_f32(sum.val[0], x, y.val[0]), vfmaq_f32(sum.val[1], x, y.val[1])}};
}

static inline vector less_product(float32x4_t x, vector y, vector sum) {
    return (vector){{vfmsq_f32(sum.val[0], x, y.val[0]), vfmsq_f32(sum.val[1], x, y.val[1])}};
}

#else

#include "vector.h"

enum { UNROLL = 6, UNROLL_LINES = 6, BY_TWOS = 0, AHEAD = 0 };

#endif

// behind the vectors that it is written in
#include "kernels/winograd_filters.h"

void tody_winograd_weights_f32_neon(const tody_winograd_weights *args) { winograd_weights(args); }
