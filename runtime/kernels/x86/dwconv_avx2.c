// dwconv_avx2.c - depthwise convolution: three pixels by 32 channels at a time, so that each weight is loaded for three.
// SPDX-License-Identifier: Apache-2.0
#include "vector_avx2.h"

// 32 channels of one pixel.
typedef struct sum {
    __m256 v0, v1, v2, v3;
} sum;

// `vectors`, 1 to 4, and `whole` are constants after inlining; so they are below. What lies beyond `vectors` is zero.
static inline __attribute__((always_inline)) __m256 load(const float *x, bool whole, __m256i mask) {
    return whole ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

static inline __attribute__((always_inline)) sum add(sum s, const float *x, const float *w, uint32_t vectors, bool whole,
                                                     __m256i mask) {
    s.v0 = _mm256_fmadd_ps(load(x, whole, mask), load(w, whole, mask), s.v0);
    if (vectors > 1) s.v1 = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8), _mm256_loadu_ps(w + 8), s.v1);
    if (vectors > 2) s.v2 = _mm256_fmadd_ps(_mm256_loadu_ps(x + 16), _mm256_loadu_ps(w + 16), s.v2);
    if (vectors > 3) s.v3 = _mm256_fmadd_ps(_mm256_loadu_ps(x + 24), _mm256_loadu_ps(w + 24), s.v3);
    return s;
}

static inline __attribute__((always_inline)) sum bias_of(const tody_dwconv_f32 *d, size_t k, uint32_t vectors, bool whole,
                                                         __m256i mask) {
    const __m256 zero = _mm256_setzero_ps();
    sum s = {zero, zero, zero, zero};
    if (!d->bias) return s;
    s.v0 = load(d->bias + k, whole, mask);
    if (vectors > 1) s.v1 = _mm256_loadu_ps(d->bias + k + 8);
    if (vectors > 2) s.v2 = _mm256_loadu_ps(d->bias + k + 16);
    if (vectors > 3) s.v3 = _mm256_loadu_ps(d->bias + k + 24);
    return s;
}

static inline __attribute__((always_inline)) void store(const tody_dwconv_f32 *d, size_t pixel, size_t k, sum s,
                                                        uint32_t vectors, bool whole) {
    const __m256 lo = _mm256_set1_ps(d->lo), hi = _mm256_set1_ps(d->hi);
    const size_t count = whole ? 8 : d->channels - k;
    float *c = d->c + pixel * d->c_stride + k;
    const float *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
    finish(c, count, s.v0, addend, lo, hi);
    if (vectors > 1) finish(c + 8, 8, s.v1, addend ? addend + 8 : NULL, lo, hi);
    if (vectors > 2) finish(c + 16, 8, s.v2, addend ? addend + 16 : NULL, lo, hi);
    if (vectors > 3) finish(c + 24, 8, s.v3, addend ? addend + 24 : NULL, lo, hi);
}

// `vectors` * 8 channels from k on of `pixels` pixels, 1 or 3.
static inline __attribute__((always_inline)) void tile(const tody_dwconv_f32 *d, size_t pixel, uint32_t pixels, size_t k,
                                                       uint32_t vectors, bool whole) {
    const __m256i mask = first(d->channels - k);
    sum s0 = bias_of(d, k, vectors, whole, mask), s1 = s0, s2 = s0;
    const float *const *a = d->a + pixel * d->taps;
    const float *w = d->w + k;
    for (uint32_t t = 0; t < d->taps; t++, a++, w += d->channels) {
        s0 = add(s0, a[0] + k, w, vectors, whole, mask);
        if (pixels > 1) s1 = add(s1, a[d->taps] + k, w, vectors, whole, mask);
        if (pixels > 2) s2 = add(s2, a[(size_t)d->taps * 2] + k, w, vectors, whole, mask);
    }
    store(d, pixel, k, s0, vectors, whole);
    if (pixels > 1) store(d, pixel + 1, k, s1, vectors, whole);
    if (pixels > 2) store(d, pixel + 2, k, s2, vectors, whole);
}

static inline __attribute__((always_inline)) void strip(const tody_dwconv_f32 *d, size_t pixel, uint32_t pixels) {
    size_t k = 0;
    for (; k + 32 <= d->channels; k += 32) tile(d, pixel, pixels, k, 4, true);
    for (; k + 16 <= d->channels; k += 16) tile(d, pixel, pixels, k, 2, true);
    for (; k + 8 <= d->channels; k += 8) tile(d, pixel, pixels, k, 1, true);
    if (k < d->channels) tile(d, pixel, pixels, k, 1, false);
}

void tody_dwconv_f32_avx2(const tody_dwconv_f32 *args) {
    size_t pixel = 0;
    for (; pixel + 3 <= args->pixels; pixel += 3) strip(args, pixel, 3);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1);
}
