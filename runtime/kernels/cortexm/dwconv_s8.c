// dwconv_s8.c - depthwise convolution of int8: four channels in registers, pixel by pixel.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"

#define INLINE static inline __attribute__((always_inline))

// A number for each of four channels.
typedef struct sums {
    int32_t a, b, c, d;
} sums;

typedef struct pair {
    int16x2_t a, b, c, d;
} pair;

// The filters of four channels, in the order of the pointers to a window: of pairs of taps, and of the last one of an odd
// number, of which channels are in pairs. They take tody_dwconv_work bytes.
typedef struct filters {
    int16x2_t last[4];  // two of them are used
    pair pair[];
} filters;

// Two taps of four channels as pairs, plus `more`.
INLINE pair widen(uint32_t a, uint32_t b, int16x2_t more) {
    const uint32_t low = tody_low_halves(a, b), high = tody_high_halves(a, b);
    return (pair){tody_add_even(more, low), tody_add_odd(more, low), tody_add_even(more, high), tody_add_odd(more, high)};
}

// Four weights of tap `t` of a window, counted by columns.
static uint32_t weights(const tody_dwconv_s8 *d, uint32_t k, uint32_t t) {
    return tody_word(d->w + (size_t)(t % d->height * d->width + t / d->height) * d->channels + k);
}

static void take_filters(const tody_dwconv_s8 *d, uint32_t k, uint32_t taps, filters *f) {
    for (uint32_t t = 0; t + 2 <= taps; t += 2) f->pair[t / 2] = widen(weights(d, k, t), weights(d, k, t + 1), tody_both(0));
    const uint32_t word = weights(d, k, taps - 1), even = (uint32_t)tody_even(word), odd = (uint32_t)tody_odd(word);
    f->last[0] = (int16x2_t)tody_low_halves(even, odd);
    f->last[1] = (int16x2_t)tody_high_halves(even, odd);
}

INLINE sums add_pair(const int8_t *const *x, uint32_t k, const pair *w, int16x2_t less, sums s) {
    const pair of = widen(tody_word(x[0] + k), tody_word(x[1] + k), less);
    return (sums){__smlad(of.a, w->a, s.a), __smlad(of.b, w->b, s.b), __smlad(of.c, w->c, s.c), __smlad(of.d, w->d, s.d)};
}

INLINE sums add_last(const int8_t *x, const int16x2_t *w, int16x2_t less, sums s) {
    const uint32_t word = tody_word(x);
    const int16x2_t even = tody_add_even(less, word), odd = tody_add_odd(less, word);
    return (sums){__smlabb(even, w[0], s.a), __smlabt(odd, w[0], s.b), __smlatb(even, w[1], s.c), __smlatt(odd, w[1], s.d)};
}

INLINE sums window(const int8_t *const *x, uint32_t k, uint32_t taps, const filters *f, int16x2_t less, sums s) {
    for (uint32_t t = 0; t + 2 <= taps; t += 2) s = add_pair(x + t, k, &f->pair[t / 2], less, s);
    return taps % 2 ? add_last(x[taps - 1] + k, f->last, less, s) : s;
}

// 3x3, by far the most frequent one, without a loop.
INLINE sums window_3x3(const int8_t *const *x, uint32_t k, const filters *f, int16x2_t less, sums s) {
    s = add_pair(x, k, &f->pair[0], less, s);
    s = add_pair(x + 2, k, &f->pair[1], less, s);
    s = add_pair(x + 4, k, &f->pair[2], less, s);
    s = add_pair(x + 6, k, &f->pair[3], less, s);
    return add_last(x[8] + k, f->last, less, s);
}

INLINE sums start_of(const tody_dwconv_s8 *d, uint32_t k) {
    const int32_t *bias = d->bias + k;
    return d->bias ? (sums){bias[0], bias[1], bias[2], bias[3]} : (sums){0, 0, 0, 0};
}

// Four channels of all pixels.
static void any(const tody_dwconv_s8 *d, uint32_t k, const filters *f) {
    const int16x2_t less = tody_both(-d->layer.x_zero);
    const tody_ends ends = tody_ends_of(&d->layer, false);
    const float *scale = d->scale + k;
    const int8_t *const *x = d->a, *addend = d->addend ? d->addend + k : NULL;
    int8_t *c = d->c + k;
    for (uint32_t pixels = d->pixels; pixels > 0; pixels--, x += (size_t)d->step * d->height, c += d->c_stride) {
        const sums s = window(x, k, d->width * d->height, f, less, start_of(d, k));
        const int32_t of[4] = {s.a, s.b, s.c, s.d};
        for (uint32_t j = 0; j < 4; j++) {
            float p = (float)of[j] * scale[j];
            if (addend) p = p + tody_addend(addend[j], &ends);
            c[j] = (int8_t)tody_end(p, &ends);
        }
        if (addend) addend += d->addend_stride;
    }
}

// The same of 3x3 without an addend, within all of int8.
static void plain_3x3(const tody_dwconv_s8 *d, uint32_t k, const filters *f) {
    const int16x2_t less = tody_both(-d->layer.x_zero);
    const tody_ends ends = tody_ends_of(&d->layer, true);
    const float s0 = d->scale[k], s1 = d->scale[k + 1], s2 = d->scale[k + 2], s3 = d->scale[k + 3];
    const size_t step = (size_t)d->step * 3, stride = d->c_stride;
    const int8_t *const *x = d->a;
    int8_t *c = d->c + k;
    for (uint32_t pixels = d->pixels; pixels > 0; pixels--, x += step, c += stride) {
        const sums s = window_3x3(x, k, f, less, start_of(d, k));
        tody_store_four((float)s.a * s0, (float)s.b * s1, (float)s.c * s2, (float)s.d * s3, &ends, c, 1);
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
    const size_t taps = (size_t)d->width * d->height;
    const uint32_t whole = d->channels & ~3u;
    const bool plain = d->width == 3 && d->height == 3 && !d->addend && tody_is_whole(&d->layer);
    filters *f = d->work;
    for (uint32_t k = 0; k < whole; k += 4) {
        take_filters(d, k, (uint32_t)taps, f);
        if (plain) {
            plain_3x3(d, k, f);
        } else {
            any(d, k, f);
        }
    }
    for (uint32_t p = 0; p < d->pixels; p++) {
        for (uint32_t k = whole; k < d->channels; k++) one(d, p, k);
    }
}

#endif
