// dwconv_s8_avx2.c - depthwise convolution of int8: two rows of a column side by side in int16.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { ROWS = 2, PIXELS = 4, PART = 8, LARGE = 1 };

typedef tody_dwconv_s8 dwconv;
typedef int8_t value;
typedef sums total;
typedef sums term;  // for each of 16 channels the int16 of two rows; the second of a single pixel is of no value, its weight 0

static inline __attribute__((always_inline)) term pair(const int8_t *first_row, const int8_t *second_row, size_t count) {
    const __m128i x = load_s8(first_row, count), y = load_s8(second_row, count);
    return (term){_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, y)), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x, y))};
}

static inline __attribute__((always_inline)) term single(const int8_t *row, size_t count) {
    const __m128i x = load_s8(row, count);
    return (term){_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))};
}

static inline __attribute__((always_inline)) term load_pixels(const int8_t *const *a, uint32_t rows, size_t k, size_t count) {
    return rows > 1 ? pair(a[0] + k, a[1] + k, count) : single(a[0] + k, count);
}

static inline __attribute__((always_inline)) term load_filter(const int8_t *w, size_t stride, uint32_t rows, size_t count) {
    if (rows > 1) return pair(w, w + stride, count);
    const term t = single(w, count);
    return (term){_mm256_and_si256(t.low, all_s32(0xFFFF)), _mm256_and_si256(t.high, all_s32(0xFFFF))};
}

static inline term all_zero(const tody_dwconv_s8 *d) {
    const __m256i zero = _mm256_set1_epi16((short)d->layer.x_zero);
    return (term){zero, zero};
}

static inline total add_term(total t, term x, term w) {
    return (total){add_s32(t.low, _mm256_madd_epi16(x.low, w.low)), add_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

static inline total take_term(total t, term x, term w) {
    return (total){sub_s32(t.low, _mm256_madd_epi16(x.low, w.low)), sub_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

static inline total start_of(const tody_dwconv_s8 *d, size_t k, size_t count) {
    return bias_s8(d->bias ? d->bias + k : NULL, count);
}

static inline __attribute__((always_inline)) void store_channels(const tody_dwconv_s8 *d, size_t k, const size_t count,
                                                                 size_t first, uint32_t pixels, const total *t) {
    const sums scale = scale_s8(d->scale + k, count);
    const tody_layer_s8 layer = d->layer;
    for (size_t p = first; p < first + pixels; p++) {
        const int8_t *addend = d->addend ? d->addend + p * d->addend_stride + k : NULL;
        finish_s8(d->c + p * d->c_stride + k, count, t[p - first], scale, addend, &layer);
    }
}

static __attribute__((noinline)) void store_pixels(const tody_dwconv_s8 *d, size_t k, size_t count, size_t first,
                                                   uint32_t pixels, const total *t) {
    if (count == 16)
        store_channels(d, k, 16, first, pixels, t);
    else
        store_channels(d, k, count, first, pixels, t);
}

#include "dwconv_s8.h"

void tody_dwconv_s8_avx2(const tody_dwconv_s8 *args) { dwconv_all(args); }
