// dwconv_strips.h - square windows over a strip of pixels: columns of pixels are loaded once for all windows that they are in.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has what dwconv_s8.h asks for. PIXELS make a strip.
#ifndef TODY_X86_DWCONV_STRIPS_H
#define TODY_X86_DWCONV_STRIPS_H

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { STRIP = PIXELS, LARGEST = 5, TERMS = LARGEST * ((LARGEST + ROWS - 1) / ROWS) };

static __attribute__((noinline)) void store_pixels(const dwconv *d, size_t k, size_t count, size_t first, uint32_t pixels,
                                                   const total *t);

// 16 channels from k on, or as many as there are, and what belongs to them.
typedef struct channels {
    size_t k, count;
    total start;         // of every sum: the bias less what x_zero adds
    term filter[TERMS];  // column by column
} channels;

// Windows of size x size, `step` apart: PIXELS from `first` on, or as many as there are. There is one row.
INLINE void strip(const dwconv *d, const channels *c, uint32_t row, uint32_t first, const uint32_t size, const uint32_t step,
                  const size_t count) {
    const uint32_t terms = (size + ROWS - 1) / ROWS, left = d->pixels - first, pixels = left < PIXELS ? left : PIXELS;
    const uint32_t columns = (pixels - 1) * step + size;
    const value *const *a = d->a + (size_t)first * step * size;
    total t[PIXELS], all[PIXELS];
    (void)row;
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

#endif
