// norm.h - moments of columns, and what makes mean and variance what a norm wants them to be: four vectors of channels at a
// time, row by row. Once for all sets, whatever the width of their vectors.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, vector, mask, first, load_part, store_part, all, add, sub, mul, and clamp(x,
// lo, hi).
#ifndef TODY_KERNELS_NORM_H
#define TODY_KERNELS_NORM_H

#define INLINE static inline __attribute__((always_inline))  // `count` and `whole` are constants after inlining

enum { TOGETHER = 4 };

// `count` vectors of channels from k on, a single one if they are not whole.
INLINE void moments_of(const tody_columns_f32 *c, size_t k, const uint32_t count, const bool whole) {
    const mask m = first(c->channels - k);
    vector mean[TOGETHER], sum[TOGETHER], square[TOGETHER];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        mean[i] = c->mean ? load_part(c->mean + k + i * WIDTH, whole, m) : all(0.0f);
        sum[i] = square[i] = all(0.0f);
    }
    const float *x = c->x + k;
    for (uint32_t r = 0; r < c->rows; r++, x += c->stride) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) {
            const vector d = sub(load_part(x + i * WIDTH, whole, m), mean[i]);
            sum[i] = add(sum[i], d);
            square[i] = add(square[i], mul(d, d));
        }
    }
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        store_part(c->sum + k + i * WIDTH, whole, m, sum[i]);
        store_part(c->square + k + i * WIDTH, whole, m, square[i]);
    }
}

static inline void column_moments_f32(const tody_columns_f32 *c) {
    size_t k = 0;
    for (; k + TOGETHER * WIDTH <= c->channels; k += TOGETHER * WIDTH) moments_of(c, k, TOGETHER, true);
    for (; k + WIDTH <= c->channels; k += WIDTH) moments_of(c, k, 1, true);
    if (k < c->channels) moments_of(c, k, 1, false);
}

// One channel after the other: mean, factor, scale and bias of `count` vectors, as above.
INLINE void norm_of(const tody_norm_f32 *n, size_t k, const uint32_t count, const bool whole) {
    const mask m = first(n->channels - k);
    const vector lo = all(n->lo), hi = all(n->hi);
    vector mean[TOGETHER], factor[TOGETHER], scale[TOGETHER], bias[TOGETHER];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        const size_t at = k + i * WIDTH;
        mean[i] = n->step ? load_part(n->mean + at, whole, m) : all(*n->mean);
        factor[i] = n->step ? load_part(n->factor + at, whole, m) : all(*n->factor);
        scale[i] = n->scale ? load_part(n->scale + at, whole, m) : all(1.0f);
        bias[i] = n->bias ? load_part(n->bias + at, whole, m) : all(0.0f);
    }
    for (uint32_t r = 0; r < n->rows; r++) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) {
            const size_t at = r * n->stride + k + i * WIDTH;
            const vector v = mul(sub(load_part(n->x + at, whole, m), mean[i]), factor[i]);
            store_part(n->y + at, whole, m, clamp(add(mul(v, scale[i]), bias[i]), lo, hi));
        }
    }
}

static inline void norm_f32(const tody_norm_f32 *n) {
    size_t k = 0;
    for (; k + TOGETHER * WIDTH <= n->channels; k += TOGETHER * WIDTH) norm_of(n, k, TOGETHER, true);
    for (; k + WIDTH <= n->channels; k += WIDTH) norm_of(n, k, 1, true);
    if (k < n->channels) norm_of(n, k, 1, false);
}

#endif
