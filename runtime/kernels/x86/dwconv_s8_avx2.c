// dwconv_s8_avx2.c - depthwise convolution of int8: two taps side by side in int16, three pixels by 16 channels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

// Pairs of int16 of two taps, for 16 channels; less `zero`.
INLINE sums pairs(__m128i first_tap, __m128i second_tap, __m256i zero) {
    return (sums){_mm256_sub_epi16(_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first_tap, second_tap)), zero),
                  _mm256_sub_epi16(_mm256_cvtepi8_epi16(_mm_unpackhi_epi8(first_tap, second_tap)), zero)};
}

// `second` is how far the second tap is: 0 where there is none, and its weight is 0.
INLINE sums add_taps(sums s, const int8_t *const *a, size_t k, const size_t count, size_t second, sums w, __m256i zero) {
    const sums x = pairs(load_s8(a[0] + k, count), load_s8(a[second] + k, count), zero);
    s.low = _mm256_add_epi32(s.low, _mm256_madd_epi16(x.low, w.low));
    s.high = _mm256_add_epi32(s.high, _mm256_madd_epi16(x.high, w.high));
    return s;
}

INLINE void store_pixel(const tody_dwconv_s8 *d, size_t pixel, size_t k, const size_t count, sums s) {
    const int8_t *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
    finish_s8(d->c + pixel * d->c_stride + k, count, s, scale_s8(d->scale + k, count), addend, &d->layer);
}

// Channels [k, k + count), at most 16, of `pixels` pixels, 1 or 3.
INLINE void tile(const tody_dwconv_s8 *d, size_t pixel, const uint32_t pixels, size_t k, const size_t count) {
    const __m256i zero = _mm256_set1_epi16((short)d->layer.x_zero);
    sums s0 = bias_s8(d->bias ? d->bias + k : NULL, count), s1 = s0, s2 = s0;
    const int8_t *const *a = d->a + pixel * d->taps;
    const int8_t *w = d->w + k;
    for (uint32_t t = 0; t < d->taps; t += 2, a += 2, w += 2 * d->channels) {
        const size_t second = t + 1 < d->taps;
        const __m128i none = _mm_setzero_si128(), next = second ? load_s8(w + d->channels, count) : none;
        const sums weights = pairs(load_s8(w, count), next, _mm256_setzero_si256());
        s0 = add_taps(s0, a, k, count, second, weights, zero);
        if (pixels > 1) s1 = add_taps(s1, a + d->taps, k, count, second, weights, zero);
        if (pixels > 2) s2 = add_taps(s2, a + (size_t)d->taps * 2, k, count, second, weights, zero);
    }
    store_pixel(d, pixel, k, count, s0);
    if (pixels > 1) store_pixel(d, pixel + 1, k, count, s1);
    if (pixels > 2) store_pixel(d, pixel + 2, k, count, s2);
}

INLINE void strip(const tody_dwconv_s8 *d, size_t pixel, const uint32_t pixels) {
    size_t k = 0;
    for (; k + 16 <= d->channels; k += 16) tile(d, pixel, pixels, k, 16);
    if (k < d->channels) tile(d, pixel, pixels, k, d->channels - k);
}

void tody_dwconv_s8_avx2(const tody_dwconv_s8 *args) {
    size_t pixel = 0;
    for (; pixel + 3 <= args->pixels; pixel += 3) strip(args, pixel, 3);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1);
}
