// dwconv_pairs.h - square windows that slide along a row: every pair of values is loaded once, for all windows that it is in.
// SPDX-License-Identifier: Apache-2.0
//
// vpmaddwd multiplies pairs of int16 and adds both products. Rows of a column are taken by twos, and of the last row, which is
// left over, a column and the one before it: 5 products for each vector of 3x3, 13 of 5x5, where pairs of rows alone take 6
// and 15.
//
// The including file has `wide`, 16 channels as int16; zero_of, the padding as such; and what dwconv_s8.h asks for but for what
// stands here.
#ifndef TODY_X86_DWCONV_PAIRS_H
#define TODY_X86_DWCONV_PAIRS_H

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { ROWS = 2, PIXELS = 4, STRIP = 32, LARGEST = 5, TERMS = LARGEST * (LARGEST / 2) + LARGEST / 2 + 1 };

// Values come side by side within halves of a vector: from one half to the other costs much. So the low ones of 16 channels are
// 0 to 3 and 8 to 11, of sums too, until these become int16.
typedef sums total;
typedef sums term;  // for each channel the int16 of two rows; the second of a single pixel is of no value, its weight 0

INLINE sums in_halves(sums s) {
    return (sums){_mm256_permute2x128_si256(s.low, s.high, 0x20), _mm256_permute2x128_si256(s.low, s.high, 0x31)};
}

INLINE term beside(__m256i x, __m256i y) { return (term){_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)}; }

INLINE term load_pixels(const value *const *a, uint32_t rows, size_t k, size_t count) {
    const __m256i x = wide(a[0] + k, count);
    return beside(x, rows > 1 ? wide(a[1] + k, count) : x);
}

INLINE term load_filter(const value *w, size_t stride, uint32_t rows, size_t count) {
    return beside(wide(w, count), rows > 1 ? wide(w + stride, count) : _mm256_setzero_si256());
}

INLINE total add_term(total t, term x, term w) {
    return (total){add_s32(t.low, _mm256_madd_epi16(x.low, w.low)), add_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

INLINE total take_term(total t, term x, term w) {
    return (total){sub_s32(t.low, _mm256_madd_epi16(x.low, w.low)), sub_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

INLINE term all_zero(const dwconv *d) { return beside(zero_of(d), zero_of(d)); }

INLINE total start_of(const dwconv *d, size_t k, size_t count) {
    return in_halves(bias_s8(d->bias ? d->bias + k : NULL, count));
}

static __attribute__((noinline)) void store_pixels(const dwconv *d, size_t k, size_t count, size_t first, uint32_t pixels,
                                                   const total *t);

// 16 channels from k on, or as many as there are, and what belongs to them.
typedef struct channels {
    size_t k, count;
    total start;         // of every sum: the bias less what x_zero adds
    term filter[TERMS];  // column by column the pairs of rows; then those of the last row, of which the first is 0 and a tap
} channels;

INLINE void prepare_some(const dwconv *d, const uint32_t size, size_t k, const size_t count, channels *c) {
    const size_t down = size * d->channels;
    const value *w = d->w + k;
    const term zero = all_zero(d);
    total start = start_of(d, k, count);
    term *f = c->filter;
    for (uint32_t x = 0; x < size; x++) {
        for (uint32_t y = 0; y + 1 < size; y += 2) *f++ = load_filter(w + y * down + x * d->channels, down, 2, count);
    }
    w += (size - 1) * down;
    *f++ = beside(_mm256_setzero_si256(), wide(w, count));
    for (uint32_t x = 1; x < size; x += 2) *f++ = load_filter(w + x * d->channels, d->channels, 2, count);
    for (const term *g = c->filter; g < f; g++) start = take_term(start, zero, *g);
    c->k = k;
    c->count = count;
    c->start = start;
}

// Sums of windows that have begun: s[0] of the one whose last column comes next, s[1] of the one after it.
typedef struct windows {
    total s[LARGEST];
    __m256i last;  // the last row of the column before
} windows;

// Columns from x to `end` of window 0, which are those from x - q * step on of window q.
INLINE void add_columns(const channels *c, const value *const *a, size_t lines, const uint32_t size, const uint32_t step,
                        const uint32_t first, const uint32_t end, const size_t count, windows *w) {
    const uint32_t pairs = size / 2;
#pragma GCC unroll 4
    for (uint32_t x = first; x < end; x++, a += lines) {
        const __m256i last = wide(a[size - 1] + c->k, count);
        const term across = beside(w->last, last);
        w->last = last;
#pragma GCC unroll 2
        for (uint32_t y = 0; y < pairs; y++) {
            const term down = beside(wide(a[2 * y] + c->k, count), wide(a[2 * y + 1] + c->k, count));
#pragma GCC unroll 5
            for (uint32_t q = 0; q * step <= x; q++) w->s[q] = add_term(w->s[q], down, c->filter[(x - q * step) * pairs + y]);
        }
#pragma GCC unroll 5
        for (uint32_t q = 0; q * step <= x; q++) {
            const uint32_t tap = x - q * step;
            if (tap % 2 == 0) w->s[q] = add_term(w->s[q], across, c->filter[size * pairs + tap / 2]);
        }
    }
}

// Pixels of a row from `first` on, as many as there are up to STRIP.
INLINE void strip(const dwconv *d, const channels *c, uint32_t row, uint32_t first, const uint32_t size, const uint32_t step,
                  const size_t count) {
    const uint32_t left = d->pixels - first, pixels = left < STRIP ? left : STRIP, more = (size - 1) / step;
    const size_t lines = lines_of(d);
    const value *const *a = window_of(d, row, first);
    total sums[STRIP];
    windows w = {.last = _mm256_setzero_si256()};
#pragma GCC unroll 5
    for (uint32_t q = 0; q < LARGEST; q++) w.s[q] = c->start;
    add_columns(c, a, lines, size, step, 0, size - step, count, &w);
    a += (size - step) * lines;
#pragma GCC unroll 1
    for (uint32_t i = 0; i < pixels; i++, a += step * lines) {
        add_columns(c, a, lines, size, step, size - step, size, count, &w);
        sums[i] = w.s[0];
#pragma GCC unroll 5
        for (uint32_t q = 0; q < more; q++) w.s[q] = w.s[q + 1];
        w.s[more] = c->start;
    }
    store_pixels(d, c->k, count, (size_t)row * d->pixels + first, pixels, sums);
}

#endif
