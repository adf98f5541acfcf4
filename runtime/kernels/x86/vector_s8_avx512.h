// vector_s8_avx512.h - 32 int8 at a time, and what is left of a row; with VBMI.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_S8_AVX512_H
#define TODY_VECTOR_S8_AVX512_H

#include "vector_avx512.h"

enum { COLUMNS = 32 };

// Int32 sums of as many columns.
typedef struct sums {
    __m512i low, high;
} sums;

static inline __m512i all_s32(int32_t x) { return _mm512_set1_epi32(x); }
static inline __m512i add_s32(__m512i x, __m512i y) { return _mm512_add_epi32(x, y); }
static inline __m512i sub_s32(__m512i x, __m512i y) { return _mm512_sub_epi32(x, y); }
static inline __m512i mul_s32(__m512i x, __m512i y) { return _mm512_mullo_epi32(x, y); }

// A group of weights of a panel, and of the next, `stride` behind it.
static inline sums load_weights(const int8_t *w, size_t stride, bool both) {
    return (sums){_mm512_loadu_si512(w), both ? _mm512_loadu_si512(w + stride) : _mm512_setzero_si512()};
}

// 32 values of bias, or of the first `count`; zeros where there is none.
static inline sums bias_s8(const int32_t *bias, size_t count) {
    const __m512i zero = _mm512_setzero_si512();
    if (!bias) return (sums){zero, zero};
    const __m512i low = _mm512_maskz_loadu_epi32(first(count), bias);
    return (sums){low, count > 16 ? _mm512_maskz_loadu_epi32(first(count - 16), bias + 16) : zero};
}

#include "factors_s8.h"

// Sixteen int32 of what shall be rounded, without `lo` and `zero`: the conversion rounds half to even, and gives the least
// integer for what is below all of them.
static inline __m512i round_s8(vector p, const tody_layer_s8 *q) {
    return _mm512_cvtps_epi32(_mm512_min_ps(p, all(q->finish.hi)));
}

// Sixteen of tody_add_s8. Adding 1.5 * 2^23 rounds.
static inline vector add_s8(vector p, __m512i addend, const tody_layer_s8 *q) {
    if (q->rounds) {
        p = _mm512_max_ps(_mm512_min_ps(p, all(q->inner.hi)), all(q->inner.lo));
        p = mul(sub(add(p, all(12582912.0f)), all(12582912.0f)), all(q->inner_scale));
    }
    return add(p, mul(_mm512_cvtepi32_ps(sub_s32(addend, all_s32(q->addend_zero))), all(q->addend_scale)));
}

// Sixteen of tody_leak.
static inline vector leak(vector p, vector slope) { return choose(below(p, all(0.0f)), mul(p, slope), p); }

// Sixteen of tody_result_s8 in this form.
static inline __m512i result_s8(__m512i sum, __m512i scale, __m512i slope, bool with_addend, __m128i addend,
                                const tody_layer_s8 *q) {
    vector p = mul(_mm512_cvtepi32_ps(sum), _mm512_castsi512_ps(scale));
    if (with_addend) p = add_s8(p, _mm512_cvtepi8_epi32(addend), q);
    if (q->slopes) p = leak(p, _mm512_castsi512_ps(slope));
    return round_s8(p, q);
}

// Two times sixteen of round_s8 as results.
static inline __m256i narrow_s8(__m512i low, __m512i high, const tody_layer_s8 *q) {
    // Packing works in quarters, which the lower bytes of the words leave in order.
    const __m256i order =
        _mm256_setr_epi32(0x06040200, 0x16141210, 0x26242220, 0x36343230, 0x0E0C0A08, 0x1E1C1A18, 0x2E2C2A28, 0x3E3C3A38);
    const __m512i lo = _mm512_set1_epi16((short)((int32_t)q->finish.lo + q->finish.zero));
    const __m512i words = _mm512_adds_epi16(_mm512_packs_epi32(low, high), _mm512_set1_epi16((short)q->finish.zero));
    return _mm512_castsi512_si256(_mm512_permutexvar_epi8(_mm512_castsi256_si512(order), _mm512_max_epi16(words, lo)));
}

// The results of 32 sums.
static inline __m256i results_s8(sums s, const factors *f, bool with_addend, __m256i addend, const tody_layer_s8 *q) {
    return narrow_s8(result_s8(s.low, f->scale.low, f->slope.low, with_addend, _mm256_castsi256_si128(addend), q),
                     result_s8(s.high, f->scale.high, f->slope.high, with_addend, _mm256_extracti128_si256(addend, 1), q), q);
}

// Eight and sixteen are loaded and stored without masks: a load waits for a masked store to the bytes before it, which is what
// comes of writing results over the addend.
static inline __m128i load_first(const int8_t *x, size_t count) {
    if (count == 16) return _mm_loadu_si128((const __m128i *)(const void *)x);
    return count == 8 ? _mm_loadl_epi64((const __m128i *)(const void *)x) : _mm_maskz_loadu_epi8(first(count), x);
}

static inline void store_first(int8_t *c, size_t count, __m128i x) {
    if (count == 16)
        _mm_storeu_si128((__m128i *)(void *)c, x);
    else if (count == 8)
        _mm_storel_epi64((__m128i *)(void *)c, x);
    else
        _mm_mask_storeu_epi8(c, first(count), x);
}

// The first `count` results of 16 sums.
static inline void finish_half(int8_t *c, size_t count, __m512i sum, __m512i scale, __m512i slope, const int8_t *addend,
                               const tody_layer_s8 *q) {
    const __m128i added = addend ? load_first(addend, count) : _mm_setzero_si128();
    const __m512i p = _mm512_max_epi32(result_s8(sum, scale, slope, addend, added, q), all_s32((int32_t)q->finish.lo));
    store_first(c, count, _mm512_cvtepi32_epi8(add_s32(p, all_s32(q->finish.zero))));
}

// The first `count` results of 32 sums, to c; the addend may be NULL.
static inline void finish_s8(int8_t *c, size_t count, sums s, const factors *f, const int8_t *addend, const tody_layer_s8 *q) {
    if (count >= 32) {
        const __m256i added = addend ? _mm256_loadu_si256((const __m256i *)(const void *)addend) : _mm256_setzero_si256();
        _mm256_storeu_si256((__m256i *)(void *)c, results_s8(s, f, addend, added, q));
        return;
    }
    finish_half(c, count < 16 ? count : 16, s.low, f->scale.low, f->slope.low, addend, q);
    if (count > 16) finish_half(c + 16, count - 16, s.high, f->scale.high, f->slope.high, addend ? addend + 16 : NULL, q);
}

#endif
