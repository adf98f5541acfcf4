// binary_s8_avx512vnni.c - sums, differences and products of two int8, 32 at a time.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "vector_s8_avx512.h"

static inline sums widen(__m256i x, int32_t zero) {
    const __m512i zeros = all_s32(zero);
    return (sums){sub_s32(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(x)), zeros),
                  sub_s32(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(x, 1)), zeros)};
}

// A product is one sum; else y is an addend, for a difference with the multiplier's sign changed, which is exact.
static inline __m256i apply(const tody_binary_s8 *b, bool product, const tody_layer_s8 *q, __m256i x, __m256i y) {
    const __m512i scale = _mm512_castps_si512(all(b->x_scale));
    sums s = widen(x, b->x_zero);
    if (product) {
        const sums t = widen(y, b->y_zero);
        s = (sums){mul_s32(s.low, t.low), mul_s32(s.high, t.high)};
    }
    return results_s8(s, (sums){scale, scale}, !product, y, q);
}

void tody_binary_s8_avx512vnni(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    if (args->fn2 == TODY_FN2_MIN || args->fn2 == TODY_FN2_MAX) {
        tody_binary_s8_avx2(args, x, y, z, count);
        return;
    }
    const bool product = args->fn2 == TODY_FN2_MUL;
    const tody_layer_s8 layer = {.addend_zero = args->y_zero,
                                 .addend_scale = args->fn2 == TODY_FN2_SUB ? -args->y_scale : args->y_scale,
                                 .finish = args->finish};
    for (size_t i = 0; i < count; i += 32) {
        const __mmask32 m = count - i < 32 ? ((__mmask32)1 << (count - i)) - 1 : ~(__mmask32)0;
        const __m256i p = _mm256_maskz_loadu_epi8(m, x + i), q = _mm256_maskz_loadu_epi8(m, y + i);
        _mm256_mask_storeu_epi8(z + i, m, apply(args, product, &layer, p, q));
    }
}
