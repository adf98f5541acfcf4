// dwconv_s8.c - depthwise convolution of int8: four channels in registers, pixel by pixel.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"

#define INLINE static inline __attribute__((always_inline))

enum { MOST_TAPS = 64 };  // of a window; larger ones are rare, and take the slow path

typedef struct sums {
    int32_t of[4];
} sums;

// The window of a pixel in the order of its pointers: where in the weights each of them begins.
typedef struct taps {
    uint32_t count;
    uint32_t at[MOST_TAPS];
} taps;

static taps taps_of(const tody_dwconv_s8 *d) {
    taps t = {.count = 0};
    for (uint32_t x = 0; x < d->width; x++) {
        for (uint32_t y = 0; y < d->height; y++) t.at[t.count++] = (y * d->width + x) * d->channels;
    }
    return t;
}

INLINE sums window(const int8_t *const *x, const int8_t *w, uint32_t k, const taps *t, int16x2_t less, sums s) {
    const uint32_t *at = t->at, *end = at + t->count;
    while (at < end) {
        const uint32_t word = tody_word(*x++ + k), by = tody_word(w + *at++);
        const int16x2_t even = tody_add_even(less, word), odd = tody_add_odd(less, word);
        const int16x2_t w_even = tody_even(by), w_odd = tody_odd(by);
        s.of[0] = __smlabb(even, w_even, s.of[0]);
        s.of[1] = __smlabb(odd, w_odd, s.of[1]);
        s.of[2] = __smlatt(even, w_even, s.of[2]);
        s.of[3] = __smlatt(odd, w_odd, s.of[3]);
    }
    return s;
}

// Four channels of all pixels.
static void four(const tody_dwconv_s8 *d, uint32_t k, const taps *t) {
    const int16x2_t less = tody_both(-d->layer.x_zero);
    const tody_ends ends = tody_ends_of(&d->layer);
    const float *scale = d->scale + k;
    const size_t step = (size_t)d->step * d->height, stride = d->c_stride, addend_stride = d->addend_stride;
    const sums start = d->bias ? (sums){{d->bias[k], d->bias[k + 1], d->bias[k + 2], d->bias[k + 3]}} : (sums){{0, 0, 0, 0}};
    const int8_t *w = d->w + k, *const *x = d->a, *addend = d->addend ? d->addend + k : NULL;
    int8_t *c = d->c + k;
    for (uint32_t pixels = d->pixels; pixels > 0; pixels--, x += step, c += stride) {
        const sums s = window(x, w, k, t, less, start);
        if (addend) {
            for (uint32_t j = 0; j < 4; j++) c[j] = tody_with(s.of[j], scale[j], addend[j], ends);
            addend += addend_stride;
        } else {
            for (uint32_t j = 0; j < 4; j++) c[j] = tody_alone(s.of[j], scale[j], ends);
        }
    }
}

// One channel of one pixel.
static void one(const tody_dwconv_s8 *d, uint32_t p, uint32_t k) {
    uint32_t sum = d->bias ? (uint32_t)d->bias[k] : 0;
    const int8_t *const *column = d->a + (size_t)p * d->step * d->height;
    for (uint32_t x = 0; x < d->width; x++, column += d->height) {
        for (uint32_t y = 0; y < d->height; y++) {
            sum += (uint32_t)((column[y][k] - d->layer.x_zero) * d->w[(size_t)(y * d->width + x) * d->channels + k]);
        }
    }
    const int8_t *addend = d->addend ? d->addend + p * d->addend_stride + k : NULL;
    d->c[p * d->c_stride + k] = tody_result_s8((int32_t)sum, d->scale[k], addend, &d->layer);
}

void tody_dwconv_s8_dsp(const tody_dwconv_s8 *d) {
    const uint32_t whole = (size_t)d->width * d->height <= MOST_TAPS ? d->channels & ~3u : 0;
    if (whole) {
        const taps t = taps_of(d);
        for (uint32_t k = 0; k < whole; k += 4) four(d, k, &t);
    }
    for (uint32_t p = 0; p < d->pixels; p++) {
        for (uint32_t k = whole; k < d->channels; k++) one(d, p, k);
    }
}

#endif
