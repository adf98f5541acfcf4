// dwconv_s8.c - depthwise convolution of int8: four channels of some pixels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"
#include "finish.h"
#include "windows.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    CHANNELS = 4,
    PIXELS = 24,
};

typedef struct pair {
    int16x2_t a, b, c, d;
} pair;

// The filters of four channels, in the order of the pointers to a window: of pairs of taps, and of the last one of an odd
// number, of which channels are in pairs.
typedef struct filters {
    int16x2_t last[4];  // two of them are used
    pair pair[];
} filters;

// What the kernel works with, tody_dwconv_work bytes: behind the sums are columns of 3x3, or filters of other windows.
typedef struct room {
    int32_t sums[PIXELS][CHANNELS];
    tody_columns_dsp columns[CHANNELS][TODY_PAIRS_DSP];
} room;
_Static_assert(sizeof(room) <= 384 + 768, "tody_dwconv_work");

static inline filters *filters_of(room *r) { return (filters *)(void *)r->columns; }

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Two taps of four channels as pairs, plus `more`.
INLINE pair widen(uint32_t a, uint32_t b, int16x2_t more) {
    const uint32_t low = tody_low_halves(a, b), high = tody_high_halves(a, b);
    return (pair){tody_add_even(more, low), tody_add_odd(more, low), tody_add_even(more, high), tody_add_odd(more, high)};
}

// Four weights of tap `t` of a window, counted by columns.
static uint32_t weights(const tody_dwconv_s8 *d, uint32_t k, uint32_t t) {
    return tody_word(d->w + (size_t)(t % d->height * d->width + t / d->height) * d->channels + k);
}

static void take_filters(const tody_dwconv_s8 *d, uint32_t k, filters *f) {
    const uint32_t taps = d->width * d->height;
    for (uint32_t t = 0; t + 2 <= taps; t += 2) f->pair[t / 2] = widen(weights(d, k, t), weights(d, k, t + 1), tody_both(0));
    const uint32_t word = weights(d, k, taps - 1), even = (uint32_t)tody_even(word), odd = (uint32_t)tody_odd(word);
    f->last[0] = (int16x2_t)tody_low_halves(even, odd);
    f->last[1] = (int16x2_t)tody_high_halves(even, odd);
}

INLINE void add_pair(const int8_t *const *x, uint32_t k, const pair *w, int16x2_t less, int32_t s[CHANNELS]) {
    const pair of = widen(tody_word(x[0] + k), tody_word(x[1] + k), less);
    s[0] = __smlad(of.a, w->a, s[0]);
    s[1] = __smlad(of.b, w->b, s[1]);
    s[2] = __smlad(of.c, w->c, s[2]);
    s[3] = __smlad(of.d, w->d, s[3]);
}

INLINE void add_last(const int8_t *x, const int16x2_t *w, int16x2_t less, int32_t s[CHANNELS]) {
    const uint32_t word = tody_word(x);
    const int16x2_t even = tody_add_even(less, word), odd = tody_add_odd(less, word);
    s[0] = __smlabb(even, w[0], s[0]);
    s[1] = __smlabt(odd, w[0], s[1]);
    s[2] = __smlatb(even, w[1], s[2]);
    s[3] = __smlatt(odd, w[1], s[3]);
}

static int32_t start_of(const tody_dwconv_s8 *d, uint32_t k) { return d->bias ? d->bias[k] : 0; }

// The sums of `count` pixels, of windows of any size.
static void add_any(const tody_dwconv_s8 *d, uint32_t k, const int8_t *const *x, uint32_t count, room *r,
                    int32_t sums[][CHANNELS]) {
    const int16x2_t less = tody_both(-d->layer.x_zero);
    const uint32_t taps = d->width * d->height;
    for (uint32_t p = 0; p < count; p++, x += (size_t)d->step * d->height) {
        int32_t s[CHANNELS] = {start_of(d, k), start_of(d, k + 1), start_of(d, k + 2), start_of(d, k + 3)};
        for (uint32_t t = 0; t + 2 <= taps; t += 2) add_pair(x + t, k, &filters_of(r)->pair[t / 2], less, s);
        if (taps % 2) add_last(x[taps - 1] + k, filters_of(r)->last, less, s);
        for (uint32_t j = 0; j < CHANNELS; j++) sums[p][j] = s[j];
    }
}

// Filters of 3x3.
static void take_columns_of_filters(const tody_dwconv_s8 *d, uint32_t k, tody_filter_dsp f[CHANNELS]) {
    static const uint8_t taps[5][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}, {7, 8}};  // counted by lines
    const int8_t *from = d->w + k;
    for (uint32_t i = 0; i < 5; i++) {
        const pair w =
            widen(tody_word(from + taps[i][0] * d->channels), tody_word(from + taps[i][1] * d->channels), tody_both(0));
        int16x2_t *to = f[0].column + i;
        const size_t next = sizeof *f / sizeof *to;
        to[0] = w.a, to[next] = w.b, to[2 * next] = w.c, to[3 * next] = w.d;
    }
    for (uint32_t j = 0; j < CHANNELS; j++) f[j].start = start_of(d, k + j);
}

// The sums of `count` pixels, of windows of 3x3.
static void add_columns(const tody_dwconv_s8 *d, uint32_t k, const int8_t *const *x, uint32_t count, const tody_filter_dsp *f,
                        room *r, int32_t sums[][CHANNELS]) {
    const int16x2_t less = tody_both(-d->layer.x_zero);
    tody_take_columns_dsp(r->columns[0], x, k, (count - 1) * d->step + 3, less, d->lines * sizeof *x);
    if (d->step == 1)
        tody_add_windows_dsp(r->columns[0], f, sums[0], sums[count]);
    else
        tody_add_windows_apart_dsp(r->columns[0], f, sums[0], sums[count]);
}

// The results of `cols` channels, up to four, of `count` pixels from p on.
static void finish(const tody_dwconv_s8 *d, uint32_t k, uint32_t cols, uint32_t p, uint32_t count, const room *r) {
    const tody_finish_dsp args = {
        .rows = count,
        .cols = cols,
        .sums = r->sums[0],
        .by_rows = true,
        .scale = d->scale + k,
        .addend = d->addend ? d->addend + p * d->addend_stride + k : NULL,
        .addend_stride = d->addend_stride,
        .c = d->c + p * d->c_stride + k,
        .c_stride = d->c_stride,
        .layer = &d->layer,
    };
    tody_finish_sums_dsp(&args);
}

// Four channels of all pixels. Sums of several short rows become results together.
static void four(const tody_dwconv_s8 *d, uint32_t k) {
    const bool small = d->width == 3 && d->height == 3 && d->step <= 2;
    const uint32_t most = small && d->step == 2 ? TODY_PAIRS_DSP - 1 : 16;
    room *r = d->work;
    tody_filter_dsp f[CHANNELS];
    if (small)
        take_columns_of_filters(d, k, f);
    else
        take_filters(d, k, filters_of(r));
    uint32_t done = 0, here = 0;
    for (uint32_t row = 0; row < d->rows; row++) {
        for (uint32_t p = 0, count; p < d->pixels; p += count, here += count) {
            const int8_t *const *x = d->a + (size_t)row * d->down + (size_t)p * d->step * d->lines;
            count = least(d->pixels - p, most);
            if (here + count + count % 2 > PIXELS) {
                finish(d, k, CHANNELS, done, here, r);
                done += here;
                here = 0;
            }
            if (small)
                add_columns(d, k, x, count, f, r, r->sums + here);
            else
                add_any(d, k, x, count, r, r->sums + here);
        }
    }
    finish(d, k, CHANNELS, done, here, r);
}

// One channel of one pixel, the p-th of all.
static void one(const tody_dwconv_s8 *d, uint32_t p, uint32_t k) {
    uint32_t sum = (uint32_t)start_of(d, k);
    const int8_t *const *column = d->a + (size_t)(p / d->pixels) * d->down + (size_t)(p % d->pixels) * d->step * d->lines;
    for (uint32_t x = 0; x < d->width; x++, column += d->lines) {
        for (uint32_t y = 0; y < d->height; y++) {
            sum += (uint32_t)((column[y][k] - d->layer.x_zero) * d->w[(size_t)(y * d->width + x) * d->channels + k]);
        }
    }
    room *r = d->work;
    r->sums[0][0] = (int32_t)sum;
    finish(d, k, 1, p, 1, r);
}

void tody_dwconv_s8_dsp(const tody_dwconv_s8 *d) {
    const uint32_t whole = d->channels & ~3u;
    for (uint32_t k = 0; k < whole; k += CHANNELS) four(d, k);
    for (uint32_t p = 0; p < d->rows * d->pixels; p++) {
        for (uint32_t k = whole; k < d->channels; k++) one(d, p, k);
    }
}

#endif
