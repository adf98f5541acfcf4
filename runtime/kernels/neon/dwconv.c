// dwconv.c - depthwise convolution: two pixels by 16 channels at a time, so that each weight is loaded for two.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

// Constants after inlining are marked const.
#define INLINE static inline __attribute__((always_inline))

// 16 channels of one pixel.
typedef struct sum {
    float32x4_t v0, v1, v2, v3;
} sum;

// What lies beyond `vectors`, 1 or 4, stays zero.
INLINE sum add(sum s, const float *x, const float *w, const uint32_t vectors) {
    s.v0 = vfmaq_f32(s.v0, vld1q_f32(x), vld1q_f32(w));
    if (vectors > 1) s.v1 = vfmaq_f32(s.v1, vld1q_f32(x + 4), vld1q_f32(w + 4));
    if (vectors > 2) s.v2 = vfmaq_f32(s.v2, vld1q_f32(x + 8), vld1q_f32(w + 8));
    if (vectors > 3) s.v3 = vfmaq_f32(s.v3, vld1q_f32(x + 12), vld1q_f32(w + 12));
    return s;
}

INLINE sum bias_of(const tody_dwconv_f32 *d, size_t k, const uint32_t vectors) {
    const float32x4_t zero = vdupq_n_f32(0.0f);
    sum s = {zero, zero, zero, zero};
    if (!d->bias) return s;
    s.v0 = vld1q_f32(d->bias + k);
    if (vectors > 1) s.v1 = vld1q_f32(d->bias + k + 4);
    if (vectors > 2) s.v2 = vld1q_f32(d->bias + k + 8);
    if (vectors > 3) s.v3 = vld1q_f32(d->bias + k + 12);
    return s;
}

INLINE void store(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, sum s, const uint32_t vectors) {
    const float32x4_t lo = vdupq_n_f32(d->lo), hi = vdupq_n_f32(d->hi);
    float *c = d->c + row * d->c_row + pixel * d->c_stride + k;
    const float *addend = d->addend ? d->addend + row * d->addend_row + pixel * d->addend_stride + k : NULL;
    finish(c, 4, s.v0, addend, lo, hi);
    if (vectors > 1) finish(c + 4, 4, s.v1, addend ? addend + 4 : NULL, lo, hi);
    if (vectors > 2) finish(c + 8, 4, s.v2, addend ? addend + 8 : NULL, lo, hi);
    if (vectors > 3) finish(c + 12, 4, s.v3, addend ? addend + 12 : NULL, lo, hi);
}

// `vectors` * 4 channels from k on, of one or two pixels.
INLINE void tile(const tody_dwconv_f32 *d, size_t row, size_t pixel, const uint32_t pixels, size_t k, const uint32_t vectors) {
    sum s0 = bias_of(d, k, vectors), s1 = s0;
    const float *const *line = d->a + row * d->down * d->a_stride + pixel * d->step, *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++, line += d->a_stride) {
        for (uint32_t x = 0; x < d->width; x++, w += d->w_stride) {
            s0 = add(s0, line[x] + k, w, vectors);
            if (pixels > 1) s1 = add(s1, line[d->step + x] + k, w, vectors);
        }
    }
    store(d, row, pixel, k, s0, vectors);
    if (pixels > 1) store(d, row, pixel + 1, k, s1, vectors);
}

// Fewer than four channels are left of one pixel: one lane after the other.
static void tail(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k) {
    const float *const *a = d->a + row * d->down * d->a_stride + pixel * d->step;
    for (; k < d->channels; k++) {
        float32x4_t s = vdupq_n_f32(d->bias ? d->bias[k] : 0.0f);
        const float *w = d->w + k;
        for (uint32_t t = 0; t < d->height * d->width; t++, w += d->w_stride) {
            s = add_scaled(s, vld1q_dup_f32(a[t / d->width * d->a_stride + t % d->width] + k), *w);
        }
        const float *addend = d->addend ? d->addend + row * d->addend_row + pixel * d->addend_stride + k : NULL;
        float *c = d->c + row * d->c_row + pixel * d->c_stride + k;
        finish(c, 1, s, addend, vdupq_n_f32(d->lo), vdupq_n_f32(d->hi));
    }
}

INLINE void strip(const tody_dwconv_f32 *d, size_t row, size_t pixel, const uint32_t pixels) {
    size_t k = 0;
    for (; k + 16 <= d->channels; k += 16) tile(d, row, pixel, pixels, k, 4);
    for (; k + 4 <= d->channels; k += 4) tile(d, row, pixel, pixels, k, 1);
    if (k == d->channels) return;
    for (uint32_t i = 0; i < pixels; i++) tail(d, row, pixel + i, k);
}

void tody_dwconv_f32_neon(const tody_dwconv_f32 *args) {
    for (size_t row = 0; row < args->rows; row++) {
        size_t pixel = 0;
        for (; pixel + 2 <= args->pixels; pixel += 2) strip(args, row, pixel, 2);
        for (; pixel < args->pixels; pixel++) strip(args, row, pixel, 1);
    }
}
