// dwconv_s8_avx2.c - depthwise convolution of int8: values become int16 as they are loaded.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { PART = 8, LARGE = 1 };

typedef tody_dwconv_s8 dwconv;
typedef int8_t value;

static inline uint32_t rows_of(const dwconv *d) { return d->rows; }
static inline uint32_t lines_of(const dwconv *d) { return d->lines; }
static inline const value *const *window_of(const dwconv *d, uint32_t row, uint32_t pixel) {
    return d->a + (size_t)pixel * d->step * d->lines + (size_t)row * d->down;
}

// As bytes are widened from memory only, this costs no more than to load.
static inline __attribute__((always_inline)) __m256i wide(const int8_t *x, size_t count) {
    if (count == 8) return _mm256_zextsi128_si256(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)x)));
    return _mm256_cvtepi8_epi16(load_s8(x, count));
}

static inline __m256i zero_of(const dwconv *d) { return _mm256_set1_epi16((short)d->layer.x_zero); }

#include "dwconv_pairs.h"

// Results of a pixel in 16 bits, whose addends go in halves as its sums do.
INLINE __m256i words_of(const total *t, const factors *f, const int8_t *addend, size_t count, const tody_layer_s8 *q) {
    return words_s8(*t, f, addend, addend ? _mm_shuffle_epi32(load_s8(addend, count), 0xD8) : _mm_setzero_si128(), q);
}

// By two pixels, which are packed together. `plain`: of tody_is_plain.
INLINE void store_channels(const dwconv *d, size_t k, const size_t count, size_t first, uint32_t pixels, const int8_t *addend,
                           const total *t, const bool plain) {
    tody_layer_s8 layer = d->layer;
    if (plain) layer.slopes = 0;
    factors f = factors_s8(d->scale + k, count, &layer);
    f = (factors){in_halves(f.scale), in_halves(f.slope)};
    int8_t *c = d->c + first * d->c_stride + k;
    for (uint32_t p = 0; p < pixels; p += 2, t += 2, c += 2 * d->c_stride) {
        const bool both = p + 1 < pixels;
        const __m256i x = words_of(t, &f, addend, count, &layer);
        if (addend) addend += both ? d->addend_stride : 0;
        const __m256i y = words_of(both ? t + 1 : t, &f, addend, count, &layer);
        if (addend) addend += d->addend_stride;
        const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(x, y), 0xD8);
        store_s8(c, count, _mm256_castsi256_si128(bytes));
        if (both) store_s8(c + d->c_stride, count, _mm256_extracti128_si256(bytes, 1));
    }
}

static __attribute__((noinline)) void store_pixels(const dwconv *d, size_t k, size_t count, size_t first, uint32_t pixels,
                                                   const total *t) {
    const int8_t *addend = d->addend ? d->addend + first * d->addend_stride + k : NULL;
    if (count == 16 && tody_is_plain(addend, &d->layer))
        store_channels(d, k, 16, first, pixels, NULL, t, true);
    else
        store_channels(d, k, count, first, pixels, addend, t, false);
}

#include "dwconv_s8.h"

void tody_dwconv_s8_avx2(const tody_dwconv_s8 *args) { dwconv_all(args); }
