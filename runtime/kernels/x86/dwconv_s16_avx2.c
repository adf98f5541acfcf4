// dwconv_s16_avx2.c - depthwise convolution of int16: two rows of a column side by side.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s16_avx2.h"

enum { ROWS = 2, PIXELS = 4, PART = 16, LARGE = 0 };

typedef tody_dwconv_s16 dwconv;
typedef int16_t value;

// 16 channels in the order in which the unpacking of halves leaves them: 0 to 3, 8 to 11; 4 to 7, 12 to 15.
typedef sums total;
typedef sums term;  // for each channel the int16 of two rows; the second of a single one is 0

static inline __attribute__((always_inline)) term pair(__m256i x, __m256i y) {
    return (term){_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)};
}

static inline __attribute__((always_inline)) term load_pixels(const int16_t *const *a, uint32_t rows, size_t k, size_t count) {
    return pair(load_s16(a[0] + k, count), rows > 1 ? load_s16(a[1] + k, count) : _mm256_setzero_si256());
}

static inline __attribute__((always_inline)) term load_filter(const int16_t *w, size_t stride, uint32_t rows, size_t count) {
    return pair(load_s16(w, count), rows > 1 ? load_s16(w + stride, count) : _mm256_setzero_si256());
}

static inline term all_zero(const dwconv *d) {
    (void)d;
    return (term){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

static inline total add_term(total t, term x, term w) {
    return (total){add_s32(t.low, _mm256_madd_epi16(x.low, w.low)), add_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

static inline total take_term(total t, term x, term w) {
    return (total){sub_s32(t.low, _mm256_madd_epi16(x.low, w.low)), sub_s32(t.high, _mm256_madd_epi16(x.high, w.high))};
}

static inline total start_of(const dwconv *d, size_t k, size_t count) {
    const sums bias = bias_s8(d->bias ? d->bias + k : NULL, count);
    return (total){_mm256_permute2x128_si256(bias.low, bias.high, 0x20), _mm256_permute2x128_si256(bias.low, bias.high, 0x31)};
}

static __attribute__((noinline)) void store_pixels(const dwconv *d, size_t k, size_t count, size_t first, uint32_t pixels,
                                                   const total *t) {
    const sums scale = scale_s8(d->scale + k, count);
    const tody_layer_s8 layer = d->layer;
    for (size_t p = first; p < first + pixels; p++, t++) {
        const sums all = {_mm256_permute2x128_si256(t->low, t->high, 0x20), _mm256_permute2x128_si256(t->low, t->high, 0x31)};
        const int16_t *addend = d->addend ? d->addend + p * d->addend_stride + k : NULL;
        finish_s16(d->c + p * d->c_stride + k, count, all, scale, addend, &layer);
    }
}

#include "dwconv_s8.h"

void tody_dwconv_s16_avx2(const tody_dwconv_s16 *args) { dwconv_all(args); }
