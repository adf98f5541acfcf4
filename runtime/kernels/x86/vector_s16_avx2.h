// vector_s16_avx2.h - sixteen int16 at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_S16_AVX2_H
#define TODY_VECTOR_S16_AVX2_H

#include "vector_s8_avx2.h"

// The first `count` of 16 values, fewer than all; the others 0. Not inlined, as it is large and seldom wanted.
static __attribute__((noinline)) __m256i load_some_s16(const int16_t *x, size_t count) {
    const int8_t *bytes = (const int8_t *)x;
    const __m128i high = count > 8 ? load_s8(bytes + 16, (count - 8) * 2) : _mm_setzero_si128();
    return _mm256_set_m128i(high, load_s8(bytes, count * 2));
}

static __attribute__((noinline)) void store_some_s16(int16_t *y, size_t count, __m256i value) {
    int8_t *bytes = (int8_t *)y;
    store_s8(bytes, count * 2, _mm256_castsi256_si128(value));
    if (count > 8) store_s8(bytes + 16, (count - 8) * 2, _mm256_extracti128_si256(value, 1));
}

static inline __m256i load_s16(const int16_t *x, size_t count) {
    if (count == 8) return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x));
    return count >= 16 ? _mm256_loadu_si256((const __m256i *)(const void *)x) : load_some_s16(x, count);
}

static inline void store_s16(int16_t *y, size_t count, __m256i value) {
    if (count >= 16)
        _mm256_storeu_si256((__m256i *)(void *)y, value);
    else
        store_some_s16(y, count, value);
}

// Eight of tody_result_s16 as int32; the limits are those of the finish.
static inline __m256i result_s16(__m256i sum, __m256i scale, __m256i slope, bool with_addend, __m128i addend,
                                 const tody_layer_s8 *q) {
    vector p = mul(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(scale));
    if (with_addend) p = add(p, mul(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(addend)), all(q->addend_scale)));
    if (q->slopes) p = leak(p, slope);
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(p, all(q->finish.lo)), all(q->finish.hi)));
}

// The first `count` results of 16 sums; the addend may be NULL.
static inline void finish_s16(int16_t *c, size_t count, sums s, const factors *f, const int16_t *addend,
                              const tody_layer_s8 *q) {
    const __m256i a = addend ? load_s16(addend, count) : _mm256_setzero_si256();
    const __m256i low = result_s16(s.low, f->scale.low, f->slope.low, addend, _mm256_castsi256_si128(a), q);
    if (count == 8) {
        const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
        _mm_storeu_si128((__m128i *)(void *)c, packed);
        return;
    }
    const __m256i high = result_s16(s.high, f->scale.high, f->slope.high, addend, _mm256_extracti128_si256(a, 1), q);
    store_s16(c, count, _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8));  // packs works in halves
}

#endif
