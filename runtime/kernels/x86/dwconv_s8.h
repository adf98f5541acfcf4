// dwconv_s8.h - depthwise convolution of integers: which channels and pixels go together.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has `dwconv`, tody_dwconv_s8 or one of other integers, and `value`, these; rows_of and lines_of it, and
// window_of, the pointers to a pixel's window; LARGE, whether windows of 5x5 have code of their own, too; PART, how many
// channels of a vector it loads quickly, 0 for any number; `total`, the sums of 16 channels of a pixel; `term`, operands of up
// to ROWS rows of 16 channels; start_of, add_term and take_term; load_pixels and load_filter, which fill a term; all_zero, the
// term that stands for padding; store_pixels; `channels`, what prepare_some makes ready for 16 of them, and `strip`, up to
// STRIP pixels of these under square windows; PIXELS, how many go together under others.
#ifndef TODY_X86_DWCONV_S8_H
#define TODY_X86_DWCONV_S8_H

enum { WHOLE = 16 };

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
    for (uint32_t r = 0; r < rows_of(d); r++) {
        for (uint32_t p = 0; p < d->pixels; p += STRIP) strip(d, &c, r, p, size, step, WHOLE);
    }
}

// Not inlined: it is called for several pixels.
static __attribute__((noinline)) term filter_at(const dwconv *d, uint32_t x, uint32_t y, size_t k, size_t count) {
    const value *w = d->w + ((size_t)y * d->width + x) * d->channels + k;
    return load_filter(w, (size_t)d->width * d->channels, d->height - y, count);
}

// PIXELS pixels of a row from `first` on, or as many as there are, under windows of any size: each part of the filter serves
// all.
static __attribute__((noinline)) void any(const dwconv *d, uint32_t row, uint32_t first, size_t k, size_t count) {
    const uint32_t left = d->pixels - first, pixels = left < PIXELS ? left : PIXELS;
    const size_t lines = lines_of(d), window = d->step * lines;
    const term zero = all_zero(d);
    total t[PIXELS], start = start_of(d, k, count);
    for (uint32_t x = 0; x < d->width; x++) {
        for (uint32_t y = 0; y < d->height; y += ROWS) start = take_term(start, zero, filter_at(d, x, y, k, count));
    }
    for (uint32_t p = 0; p < PIXELS; p++) t[p] = start;
    for (uint32_t x = 0; x < d->width; x++) {
        for (uint32_t y = 0; y < d->height; y += ROWS) {
            const value *const *a = window_of(d, row, first) + x * lines + y;
            const term filter = filter_at(d, x, y, k, count);
#pragma GCC unroll 1
            for (uint32_t p = 0; p < pixels; p++)
                t[p] = add_term(t[p], load_pixels(a + p * window, d->height - y, k, count), filter);
        }
    }
    store_pixels(d, k, count, (size_t)row * d->pixels + first, pixels, t);
}

// Channels from `first` on.
static void rest(const dwconv *d, size_t first) {
    for (uint32_t r = 0; r < rows_of(d); r++) {
        for (uint32_t p = 0; p < d->pixels; p += PIXELS) {
            for (size_t k = first; k < d->channels; k += WHOLE)
                any(d, r, p, k, d->channels - k < WHOLE ? d->channels - k : WHOLE);
        }
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
        for (uint32_t r = 0; r < rows_of(d); r++) {
            for (uint32_t p = 0; p < d->pixels; p += STRIP) strip(d, &c, r, p, size, step, part);
        }
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
