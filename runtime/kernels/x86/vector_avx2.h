// vector_avx2.h - eight floats at a time, and what is left of a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_AVX2_H
#define TODY_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdbool.h>

#include "x86.h"

// All bits of the first `count` elements, at most 8.
static inline __m256i first(size_t count) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count < 8 ? (int)count : 8), index);
}

// min(max(x, lo), hi); NaN stays NaN, because these instructions return their second operand then.
static inline __m256 clamp(__m256 x, __m256 lo, __m256 hi) { return _mm256_min_ps(hi, _mm256_max_ps(lo, x)); }

// c = clamp(sum + addend) for the first `count` elements; addend may be NULL.
static inline void finish(float *c, size_t count, __m256 sum, const float *addend, __m256 lo, __m256 hi) {
    if (count >= 8) {
        if (addend) sum = _mm256_add_ps(sum, _mm256_loadu_ps(addend));
        _mm256_storeu_ps(c, clamp(sum, lo, hi));
    } else {
        const __m256i mask = first(count);
        if (addend) sum = _mm256_add_ps(sum, _mm256_maskload_ps(addend, mask));
        _mm256_maskstore_ps(c, mask, clamp(sum, lo, hi));
    }
}

#endif
