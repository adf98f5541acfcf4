// dwconv_s8.h - depthwise convolution of int8: columns of pixels are loaded once for all windows that they are in.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has `dwconv`, tody_dwconv_s8 or one of other integers, and `value`, these; LARGE, whether windows of 5x5
// have code of their own, too; PIXELS, of a strip; PART, how many channels of a vector it loads quickly, 0 for any number;
// `total`, the sums of 16 channels of a pixel; `term`, operands of up to ROWS rows of 16 channels; start_of, add_term and
// take_term; load_pixels and load_filter, which fill a term; all_zero, the term that stands for padding; store_pixels.
#ifndef TODY_X86_DWCONV_S8_H
#define TODY_X86_DWCONV_S8_H

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { WHOLE = 16, LARGEST = 5, TERMS = LARGEST * ((LARGEST + ROWS - 1) / ROWS) };

// 16 channels from k on, or as many as there are, and what belongs to them.
typedef struct channels {
    size_t k, count;
    total start;         // of every sum: the bias less what x_zero adds
    term filter[TERMS];  // column by column
} channels;

// Windows of size x size, `step` apart: PIXELS of them from `first` on, or as many as there are.
INLINE void strip(const dwconv *d, const channels *c, uint32_t first, const uint32_t size, const uint32_t step,
                  const bool whole) {
    const size_t count = whole ? WHOLE : PART ? PART : c->count;
    const uint32_t terms = (size + ROWS - 1) / ROWS, left = d->pixels - first, pixels = left < PIXELS ? left : PIXELS;
    const uint32_t columns = (pixels - 1) * step + size;
    const value *const *a = d->a + (size_t)first * step * size;
    total t[PIXELS], all[PIXELS];
#pragma GCC unroll 8
    for (uint32_t p = 0; p < PIXELS; p++) t[p] = c->start;
#pragma GCC unroll 19
    for (uint32_t j = 0; j < (PIXELS - 1) * step + size; j++) {
        const value *const *column = a + (size_t)(j < columns ? j : columns - 1) * size;
#pragma GCC unroll 3
        for (uint32_t y = 0; y < terms; y++) {
            const term x = load_pixels(column + y * ROWS, size - y * ROWS, c->k, count);
#pragma GCC unroll 8
            for (uint32_t p = 0; p < PIXELS; p++) {
                if (j >= p * step && j - p * step < size) t[p] = add_term(t[p], x, c->filter[(j - p * step) * terms + y]);
            }
        }
    }
#pragma GCC unroll 8
    for (uint32_t p = 0; p < PIXELS; p++) all[p] = t[p];  // so that only a copy must be in memory
    store_pixels(d, c->k, count, first, pixels, all);
}

INLINE void prepare_some(const dwconv *d, uint32_t size, size_t k, const size_t count, channels *c) {
    const uint32_t terms = (size + ROWS - 1) / ROWS;
    const term zero = all_zero(d);
    total start = start_of(d, k, count);
    for (uint32_t i = 0; i < size * terms; i++) {
        const uint32_t x = i / terms, y = i % terms * ROWS;
        c->filter[i] = load_filter(d->w + (y * size + x) * d->channels + k, size * d->channels, size - y, count);
        start = take_term(start, zero, c->filter[i]);
    }
    c->k = k;
    c->count = count;
    c->start = start;
}

// Not inlined: one copy serves all sizes.
static __attribute__((noinline)) void prepare(const dwconv *d, uint32_t size, size_t k, size_t count, channels *c) {
    if (count == WHOLE)
        prepare_some(d, size, k, WHOLE, c);
    else
        prepare_some(d, size, k, PART ? PART : count, c);
}

INLINE void strips(const dwconv *d, const uint32_t size, const uint32_t step, size_t k) {
    channels c;
    prepare(d, size, k, WHOLE, &c);
    for (uint32_t p = 0; p < d->pixels; p += PIXELS) strip(d, &c, p, size, step, true);
}

// Not inlined: it is called for several pixels.
static __attribute__((noinline)) term filter_at(const dwconv *d, uint32_t x, uint32_t y, size_t k, size_t count) {
    const value *w = d->w + ((size_t)y * d->width + x) * d->channels + k;
    return load_filter(w, (size_t)d->width * d->channels, d->height - y, count);
}

// PIXELS pixels from `first` on, or as many as there are, under windows of any size: each part of the filter serves all.
static __attribute__((noinline)) void any(const dwconv *d, uint32_t first, size_t k, size_t count) {
    const uint32_t left = d->pixels - first, pixels = left < PIXELS ? left : PIXELS;
    const size_t window = (size_t)d->step * d->height;
    const term zero = all_zero(d);
    total t[PIXELS], start = start_of(d, k, count);
    for (uint32_t x = 0; x < d->width; x++) {
        for (uint32_t y = 0; y < d->height; y += ROWS) start = take_term(start, zero, filter_at(d, x, y, k, count));
    }
    for (uint32_t p = 0; p < PIXELS; p++) t[p] = start;
    for (uint32_t x = 0; x < d->width; x++) {
        for (uint32_t y = 0; y < d->height; y += ROWS) {
            const value *const *a = d->a + first * window + (size_t)x * d->height + y;
            const term filter = filter_at(d, x, y, k, count);
#pragma GCC unroll 1
            for (uint32_t p = 0; p < pixels; p++)
                t[p] = add_term(t[p], load_pixels(a + p * window, d->height - y, k, count), filter);
        }
    }
    store_pixels(d, k, count, first, pixels, t);
}

// Channels from `first` on.
static void rest(const dwconv *d, size_t first) {
    for (uint32_t p = 0; p < d->pixels; p += PIXELS) {
        for (size_t k = first; k < d->channels; k += WHOLE) any(d, p, k, d->channels - k < WHOLE ? d->channels - k : WHOLE);
    }
}

// The last 16 channels may be some of those before, whose results come out the same again if they do not replace an addend.
INLINE void square(const dwconv *d, const uint32_t size, const uint32_t step) {
    const size_t whole = d->channels / WHOLE * WHOLE, end = whole > 0 && !d->addend ? d->channels : whole;
    for (size_t k = 0; k < end; k += WHOLE) strips(d, size, step, k + WHOLE <= end ? k : end - WHOLE);
    rest(d, end);
}

// Fewer channels than 16; the last of them may be some of those before, as in `square`.
INLINE void narrow(const dwconv *d, const uint32_t size, const uint32_t step) {
    const size_t part = PART ? PART : d->channels;
    for (size_t k = 0; k < d->channels; k += part) {
        channels c;
        prepare(d, size, k + part <= d->channels ? k : d->channels - part, part, &c);
        for (uint32_t p = 0; p < d->pixels; p += PIXELS) strip(d, &c, p, size, step, false);
    }
}

static inline bool in_parts(const dwconv *d) {
    return d->channels < WHOLE && (PART == 0 || d->channels == PART || (d->channels > PART && !d->addend));
}

static inline void dwconv_all(const dwconv *d) {
    const uint32_t size = d->height == d->width ? d->width : 0, step = d->step;
    if (size == 3 && step == 1 && in_parts(d))
        narrow(d, 3, 1);
    else if (size == 3 && step == 1)
        square(d, 3, 1);
    else if (size == 3 && step == 2)
        square(d, 3, 2);
    else if (LARGE && size == 5 && step == 1)
        square(d, 5, 1);
    else if (LARGE && size == 5 && step == 2)
        square(d, 5, 2);
    else
        rest(d, 0);
}

#endif
