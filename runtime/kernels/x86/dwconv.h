// dwconv.h - depthwise convolution: three pixels by four vectors of channels at a time, so that each weight is loaded for
// three. SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_DWCONV_H
#define TODY_X86_DWCONV_H

#include "vector.h"

#define INLINE static inline __attribute__((always_inline))

enum { VECTORS = 4, PIXELS = 3 };

// The channels of one pixel.
typedef struct sum {
    vector v[VECTORS];
} sum;

// `count`, 1 to VECTORS, and `whole` are constants after inlining; so they are below. Only a single vector may not be whole.
INLINE sum add_tap(sum s, const float *x, const float *w, uint32_t count, bool whole, mask m) {
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++)
        s.v[i] = add_product(load_part(x + i * WIDTH, whole, m), load_part(w + i * WIDTH, whole, m), s.v[i]);
    return s;
}

INLINE sum start(const float *bias, uint32_t count, bool whole, mask m) {
    sum s = {{all(0.0f)}};
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) s.v[i] = bias ? load_part(bias + i * WIDTH, whole, m) : all(0.0f);
    return s;
}

INLINE void end(const tody_dwconv_f32 *d, size_t pixel, size_t k, sum s, uint32_t count, bool whole) {
    float *c = d->c + pixel * d->c_stride + k;
    const float *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++)
        finish(c + i * WIDTH, whole ? WIDTH : d->channels - k, s.v[i], addend ? addend + i * WIDTH : NULL, all(d->lo),
               all(d->hi));
}

// `count` vectors of channels from k on of `pixels` pixels, 1 or 3.
INLINE void tile(const tody_dwconv_f32 *d, size_t pixel, uint32_t pixels, size_t k, uint32_t count, bool whole) {
    const mask m = first(d->channels - k);
    sum s0 = start(d->bias ? d->bias + k : NULL, count, whole, m), s1 = s0, s2 = s0;
    const size_t step = (size_t)d->step * d->height;
    const float *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        const float *const *a = d->a + pixel * step + y;
        for (uint32_t x = 0; x < d->width; x++, a += d->height, w += d->channels) {
            s0 = add_tap(s0, a[0] + k, w, count, whole, m);
            if (pixels > 1) s1 = add_tap(s1, a[step] + k, w, count, whole, m);
            if (pixels > 2) s2 = add_tap(s2, a[step * 2] + k, w, count, whole, m);
        }
    }
    end(d, pixel, k, s0, count, whole);
    if (pixels > 1) end(d, pixel + 1, k, s1, count, whole);
    if (pixels > 2) end(d, pixel + 2, k, s2, count, whole);
}

INLINE void strip(const tody_dwconv_f32 *d, size_t pixel, uint32_t pixels) {
    size_t k = 0;
    for (; k + 4 * WIDTH <= d->channels; k += 4 * WIDTH) tile(d, pixel, pixels, k, 4, true);
    for (; k + 2 * WIDTH <= d->channels; k += 2 * WIDTH) tile(d, pixel, pixels, k, 2, true);
    for (; k + WIDTH <= d->channels; k += WIDTH) tile(d, pixel, pixels, k, 1, true);
    if (k < d->channels) tile(d, pixel, pixels, k, 1, false);
}

static inline void dwconv_f32(const tody_dwconv_f32 *args) {
    size_t pixel = 0;
    for (; pixel + PIXELS <= args->pixels; pixel += PIXELS) strip(args, pixel, PIXELS);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1);
}

#endif
