// dwconv.c - depthwise convolution: strips of 4 pixels by a few vectors of channels. Line by line of the window, its weights
// stay in registers, and each column is loaded once for all the windows that it is in.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"
#include "schedule.h"

// Constants after inlining are marked const.
#define INLINE static inline __attribute__((always_inline))

// STRIP: pixels. GROUP: channels that go by while the strips of some rows stay in the first-level cache. NARROW, WIDE: vectors
// of channels taken together, of windows 3 and 5 wide: sums and weights fill the registers, of which ARMv7 has half as many.
#if defined(__aarch64__)
enum { STRIP = DWCONV_STRIP, GROUP = 64, NARROW = 4, WIDE = 2 };
#else
enum { STRIP = DWCONV_STRIP, GROUP = 64, NARROW = 2, WIDE = 1 };
#endif
enum { MOST = NARROW, LARGEST = 5 };

typedef struct strip {
    float32x4_t sum[STRIP][MOST];
    size_t k;  // first channel
} strip;

INLINE void load_vectors(float32x4_t *v, const float *p, const uint32_t count) {
    if (count == 1) v[0] = vld1q_f32(p);
#pragma GCC unroll 2
    for (uint32_t i = 0; i + 1 < count; i += 2) load_pair_f32(p, (int)i * 16, &v[i], &v[i + 1]);
}

// Add a line of windows of a known width: its first pixels are at `a`, its weights at `w`.
INLINE void add_line(const tody_dwconv_f32 *d, strip *s, const float *const *a, const float *w, const uint32_t width,
                     const uint32_t step, const uint32_t count) {
    float32x4_t weights[LARGEST][MOST];
#pragma GCC unroll 5
    for (uint32_t x = 0; x < width; x++) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) weights[x][i] = vld1q_f32(w + x * d->w_stride + i * 4);
    }
#pragma GCC unroll 11
    for (uint32_t j = 0; j < (STRIP - 1) * step + width; j++) {
        float32x4_t x[MOST];
        load_vectors(x, a[j] + s->k, count);
#pragma GCC unroll 4
        for (uint32_t p = 0; p < STRIP; p++) {
            if (j < p * step || j - p * step >= width) continue;
#pragma GCC unroll 4
            for (uint32_t i = 0; i < count; i++) s->sum[p][i] = vfmaq_f32(s->sum[p][i], x[i], weights[j - p * step][i]);
        }
    }
}

// Add a line of windows of any width.
INLINE void add_any_line(const tody_dwconv_f32 *d, strip *s, const float *const *a, const float *w, const uint32_t count) {
    for (uint32_t x = 0; x < d->width; x++, a++, w += d->w_stride) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) {
            const float32x4_t weight = vld1q_f32(w + i * 4);
#pragma GCC unroll 4
            for (uint32_t p = 0; p < STRIP; p++) {
                const float *pixel = a[(size_t)p * d->step] + s->k + i * 4;
                s->sum[p][i] = vfmaq_f32(s->sum[p][i], vld1q_f32(pixel), weight);
            }
        }
    }
}

INLINE void start(const tody_dwconv_f32 *d, strip *s, const uint32_t count) {
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        const float32x4_t bias = d->bias ? vld1q_f32(d->bias + s->k + i * 4) : vdupq_n_f32(0.0f);
#pragma GCC unroll 4
        for (uint32_t p = 0; p < STRIP; p++) s->sum[p][i] = bias;
    }
}

// Store what of the strip belongs to the row.
INLINE void end(const tody_dwconv_f32 *d, const strip *s, size_t row, size_t pixel, const uint32_t count) {
    const size_t left = d->pixels - pixel;
    const float32x4_t lo = vdupq_n_f32(d->lo), hi = vdupq_n_f32(d->hi);
    float *c = d->c + row * d->c_row + pixel * d->c_stride + s->k;
    const float *addend = d->addend ? d->addend + row * d->addend_row + pixel * d->addend_stride + s->k : NULL;
#pragma GCC unroll 4
    for (uint32_t p = 0; p < STRIP; p++) {
        if (p == left) break;
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) {
            finish(c + p * d->c_stride + i * 4, 4, s->sum[p][i], addend ? addend + p * d->addend_stride + i * 4 : NULL, lo, hi);
        }
    }
}

// The strip of `row` from `pixel` on, `count` vectors of channels from k on. A width of 0 is one that is not known.
INLINE void make_strip(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, const uint32_t width, const uint32_t step,
                       const uint32_t count) {
    strip s = {.k = k};
    const float *const *a = d->a + row * d->down * d->a_stride + pixel * d->step, *w = d->w + k;
    start(d, &s, count);
    for (uint32_t y = 0; y < d->height; y++, a += d->a_stride, w += d->width * d->w_stride) {
        if (width)
            add_line(d, &s, a, w, width, step, count);
        else
            add_any_line(d, &s, a, w, count);
    }
    end(d, &s, row, pixel, count);
}

// Channels [k, end). Strips go down before they go across, while the lines that they share are in the first-level cache.
INLINE void channels(const tody_dwconv_f32 *d, size_t k, size_t end, const uint32_t width, const uint32_t step,
                     const uint32_t count) {
    for (uint32_t pixel = 0; pixel < d->pixels; pixel += STRIP) {
        for (uint32_t row = 0; row < d->rows; row++) {
            for (size_t i = k; i < end; i += count * 4) make_strip(d, row, pixel, i, width, step, count);
        }
    }
}

// The last channels of one pixel, fewer than four: one lane after the other.
static void lone_channels(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k) {
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

// Channels from `begin` on.
INLINE void all_channels(const tody_dwconv_f32 *d, size_t begin, const uint32_t width, const uint32_t step,
                         const uint32_t count) {
    const size_t fours = d->channels / 4 * 4, whole = begin + (fours - begin) / (count * 4) * (count * 4);
    for (size_t k = begin; k < whole; k += GROUP) channels(d, k, k + GROUP < whole ? k + GROUP : whole, width, step, count);
    if (whole < fours) channels(d, whole, fours, width, step, 1);
    for (size_t i = 0; fours < d->channels && i < (size_t)d->rows * d->pixels; i++)
        lone_channels(d, i / d->pixels, i % d->pixels, fours);
}

void tody_dwconv_f32_neon(const tody_dwconv_f32 *args) {
    const size_t begin = tody_dwconv_3x3_f32_neon(args);
    if (begin == args->channels) return;
    if (args->width == 3 && args->step == 1)
        all_channels(args, begin, 3, 1, NARROW);
    else if (args->width == 3 && args->step == 2)
        all_channels(args, begin, 3, 2, NARROW);
    else if (args->width == 5 && args->step == 1)
        all_channels(args, begin, 5, 1, WIDE);
    else if (args->width == 5 && args->step == 2)
        all_channels(args, begin, 5, 2, WIDE);
    else
        all_channels(args, begin, 0, 0, WIDE);
}
