// gemm_s8_avx512.h - what int8 products of 512 bits have in common.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_GEMM_S8_AVX512_H
#define TODY_X86_GEMM_S8_AVX512_H

#include "vector_s8_avx512.h"

static inline sums load_scale(const tody_gemm_s8 *g) {
    const integers low = _mm512_loadu_si512(g->scale);
    return (sums){low, g->cols > 16 && g->scale_stride ? _mm512_loadu_si512(g->scale + 16) : low};
}

#include "finish_s8.h"

// Rows of all taps of a depth below 4, as many taps at once as lie one after the other, spread so that each has four bytes:
// with x_zero behind the depth and `flip` exclusive-ored to each byte. Copies go in whole vectors.
static inline void spread_taps_s8(const tody_gemm_s8 *g, uint8_t *x, size_t room, uint8_t flip) {
    const __m512i lane = _mm512_set1_epi32(0x03020100), depth = _mm512_set1_epi8((char)g->depth);
    const __m512i tap = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_add_epi8(lane, _mm512_mullo_epi32(tap, depth));
    const __mmask64 there = _mm512_cmplt_epu8_mask(lane, depth);
    const __m512i zero = _mm512_set1_epi8((char)g->layer.x_zero), flips = _mm512_set1_epi8((char)flip);
    for (uint32_t t = 0, taps; t < g->taps; t += taps) {
        const uint32_t within = t % g->run, left = g->run - within;
        const int8_t *const *a = g->a + (size_t)(t - within) * g->rows;
        taps = left < 16 ? left : 16;
        const __mmask64 m = ((__mmask64)1 << (taps * g->depth)) - 1;
        uint8_t *to = x + (size_t)t * 4;
        for (uint32_t i = 0; i < g->rows; i++, to += room) {
            const __m512i bytes = _mm512_maskz_loadu_epi8(m, a[i] + within * g->depth);
            const __m512i spread = _mm512_xor_si512(_mm512_mask_permutexvar_epi8(zero, there, from, bytes), flips);
            if (taps <= 4)
                _mm_storeu_si128((__m128i *)(void *)to, _mm512_castsi512_si128(spread));
            else
                _mm512_storeu_si512(to, spread);
        }
    }
}

#endif
