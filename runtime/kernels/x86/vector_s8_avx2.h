// vector_s8_avx2.h - sixteen int8 at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_S8_AVX2_H
#define TODY_VECTOR_S8_AVX2_H

#include <string.h>

#include "vector_avx2.h"

enum { COLUMNS = 16 };

// Int32 sums of as many columns.
typedef struct sums {
    __m256i low, high;
} sums;

static inline __m256i all_s32(int32_t x) { return _mm256_set1_epi32(x); }
static inline __m256i add_s32(__m256i x, __m256i y) { return _mm256_add_epi32(x, y); }
static inline __m256i sub_s32(__m256i x, __m256i y) { return _mm256_sub_epi32(x, y); }
static inline __m256i mul_s32(__m256i x, __m256i y) { return _mm256_mullo_epi32(x, y); }

static inline sums load_bytes(const int8_t *x) {
    return (sums){_mm256_loadu_si256((const __m256i *)(const void *)x),
                  _mm256_loadu_si256((const __m256i *)(const void *)(x + 32))};
}

// Four bytes of depth of each column. A panel is as wide as `sums`: there is no second one.
static inline sums load_weights(const int8_t *w, size_t stride, bool both) {
    (void)stride;
    (void)both;
    return load_bytes(w);
}

// The first `count` of 8 bytes, the others 0: two loads that overlap, and of up to three bytes each by itself.
static inline uint64_t load_part(const int8_t *x, size_t count) {
    uint32_t low, high;
    if (count >= 8) {
        uint64_t all;
        memcpy(&all, x, sizeof all);
        return all;
    }
    if (count >= 4) {
        memcpy(&low, x, sizeof low);
        memcpy(&high, x + count - 4, sizeof high);
        return low | (uint64_t)high << (count - 4) * 8;
    }
    if (count == 0) return 0;
    const uint64_t first = (uint8_t)x[0], middle = (uint8_t)x[count / 2], last = (uint8_t)x[count - 1];
    return first | middle << count / 2 * 8 | last << (count - 1) * 8;
}

static inline void store_part(int8_t *y, size_t count, uint64_t value) {
    if (count >= 8) {
        memcpy(y, &value, sizeof value);
    } else if (count >= 4) {
        const uint32_t low = (uint32_t)value, high = (uint32_t)(value >> (count - 4) * 8);
        memcpy(y, &low, sizeof low);
        memcpy(y + count - 4, &high, sizeof high);
    } else {
        for (size_t i = 0; i < count; i++) y[i] = (int8_t)(uint8_t)(value >> i * 8);
    }
}

// The first `count` of 16 values, the others 0.
static inline __m128i load_s8(const int8_t *x, size_t count) {
    if (count >= 16) return _mm_loadu_si128((const __m128i *)(const void *)x);
    const uint64_t high = count > 8 ? load_part(x + 8, count - 8) : 0;
    return _mm_set_epi64x((long long)high, (long long)load_part(x, count));
}

static inline void store_s8(int8_t *y, size_t count, __m128i value) {
    if (count >= 16) {
        _mm_storeu_si128((__m128i *)(void *)y, value);
        return;
    }
    store_part(y, count, (uint64_t)_mm_cvtsi128_si64(value));
    if (count > 8) store_part(y + 8, count - 8, (uint64_t)_mm_extract_epi64(value, 1));
}

static inline __m256i load_s32(const int32_t *x, size_t count) {
    const int *p = (const int *)(const void *)x;
    return count >= 8 ? _mm256_loadu_si256((const __m256i *)(const void *)x) : _mm256_maskload_epi32(p, first(count));
}

// 16 values of bias, or of the first `count`; zeros where there is none.
static inline sums bias_s8(const int32_t *bias, size_t count) {
    const __m256i zero = _mm256_setzero_si256();
    if (!bias) return (sums){zero, zero};
    return (sums){load_s32(bias, count), count > 8 ? load_s32(bias + 8, count - 8) : zero};
}

#include "factors_s8.h"

// Eight of tody_leak.
static inline vector leak(vector p, __m256i slope) { return _mm256_blendv_ps(p, mul(p, _mm256_castsi256_ps(slope)), p); }

// Eight of tody_result_s8 without `lo` and `zero`, as int32: the conversion rounds half to even, and gives the least integer
// for what is below all of them.
static inline __m256i result_s8(__m256i sum, __m256i scale, __m256i slope, bool with_addend, __m128i addend,
                                const tody_layer_s8 *q) {
    vector p = mul(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(scale));
    if (with_addend && q->rounds) {
        p = _mm256_max_ps(_mm256_min_ps(p, all(q->inner.hi)), all(q->inner.lo));
        p = mul(_mm256_round_ps(p, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), all(q->inner_scale));
    }
    if (with_addend) {
        const __m256i value = sub_s32(_mm256_cvtepi8_epi32(addend), all_s32(q->addend_zero));
        p = add(p, mul(_mm256_cvtepi32_ps(value), all(q->addend_scale)));
    }
    if (q->slopes) p = leak(p, slope);
    return _mm256_cvtps_epi32(_mm256_min_ps(p, all(q->finish.hi)));
}

// 16 results in 16 bits, in halves by fours, as packing leaves them. `a` holds the addends, if there are any.
static inline __m256i words_s8(sums s, const factors *f, bool with_addend, __m128i a, const tody_layer_s8 *q) {
    const __m256i low = result_s8(s.low, f->scale.low, f->slope.low, with_addend, a, q);
    const __m256i high = result_s8(s.high, f->scale.high, f->slope.high, with_addend, _mm_srli_si128(a, 8), q);
    const __m256i lo = _mm256_set1_epi16((short)((int32_t)q->finish.lo + q->finish.zero));
    return _mm256_max_epi16(_mm256_adds_epi16(_mm256_packs_epi32(low, high), _mm256_set1_epi16((short)q->finish.zero)), lo);
}

// The first `count` results of 16 sums; the addend may be NULL.
static inline void finish_s8(int8_t *c, size_t count, sums s, const factors *f, const int8_t *addend, const tody_layer_s8 *q) {
    const __m128i a = addend ? load_s8(addend, count) : _mm_setzero_si128();
    const __m256i words = words_s8(s, f, addend, a, q), bytes = _mm256_packs_epi16(words, words);
    store_s8(c, count, _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
}

#endif
