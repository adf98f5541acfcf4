// pack_s8_avx512.h - rows of int8 side by side, for products of bytes; with VBMI.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_PACK_S8_AVX512_H
#define TODY_X86_PACK_S8_AVX512_H

#include "vector_s8_avx512.h"

// The first `count` bytes, at most 64.
static inline __mmask64 bytes(size_t count) { return count < 64 ? ((__mmask64)1 << count) - 1 : ~(__mmask64)0; }

// Stores go in whole vectors: what they write too much is written again, or stands behind the row.
static inline int8_t *pack_whole(int8_t *to, const int8_t *x, size_t count, __m512i fill, __m512i flip) {
    const size_t whole = count / 64 * 64;
    for (size_t k = 0; k < whole; k += 64) _mm512_storeu_si512(to + k, _mm512_xor_si512(_mm512_loadu_si512(x + k), flip));
    if (whole < count) {
        const __m512i some = _mm512_mask_loadu_epi8(fill, bytes(count - whole), x + whole);
        _mm512_storeu_si512(to + whole, _mm512_xor_si512(some, flip));
    }
    return to + (count + 3) / 4 * 4;
}

// Taps of a depth below 4, sixteen at a time, spread so that each has four bytes.
static inline int8_t *pack_narrow(int8_t *to, const int8_t *x, uint32_t taps, uint32_t depth, __m512i fill, __m512i flip) {
    const __m512i lane = _mm512_set1_epi32(0x03020100), depths = _mm512_set1_epi8((char)depth);
    const __m512i tap = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_add_epi8(_mm512_mullo_epi32(tap, _mm512_set1_epi32((int32_t)(depth * 0x01010101u))), lane);
    const __mmask64 there = _mm512_cmplt_epu8_mask(lane, depths);
    for (uint32_t t = 0; t < taps; t += 16) {
        const __m512i some = _mm512_maskz_loadu_epi8(bytes((size_t)(taps - t < 16 ? taps - t : 16) * depth), x + t * depth);
        const __m512i spread = _mm512_mask_permutexvar_epi8(fill, there, from, some);
        _mm512_storeu_si512(to + (size_t)t * 4, _mm512_xor_si512(spread, flip));
    }
    return to + (size_t)taps * 4;
}

// `flip` is exclusive-ored to each byte: 0x80 adds 128.
static inline void pack_rows(const tody_pack_s8 *p, uint8_t flip) {
    const __m512i fill = _mm512_set1_epi8((char)p->x_zero), flips = _mm512_set1_epi8((char)flip);
    const bool groups = p->depth % 4 == 0;
    for (uint32_t i = 0; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) {
            const int8_t *x = p->a[(size_t)l * p->rows + i];
            if (groups) {
                to = pack_whole(to, x, (size_t)p->run * p->depth, fill, flips);
            } else if (p->depth < 4) {
                to = pack_narrow(to, x, p->run, p->depth, fill, flips);
            } else {
                for (uint32_t t = 0; t < p->run; t++) to = pack_whole(to, x + (size_t)t * p->depth, p->depth, fill, flips);
            }
        }
    }
}

#endif
