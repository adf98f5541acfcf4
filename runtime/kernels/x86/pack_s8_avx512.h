// pack_s8_avx512.h - rows of int8 side by side, for products of bytes; with VBMI. Nothing is written beyond a row.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_PACK_S8_AVX512_H
#define TODY_X86_PACK_S8_AVX512_H

#include "vector_s8_avx512.h"

#define INLINE static inline __attribute__((always_inline))

// How bytes are packed: what stands behind a depth, and what is exclusive-ored to each byte.
typedef struct packing {
    __m512i fill, flip;
} packing;

// The first `count` bytes, at most 64.
static inline __mmask64 bytes(size_t count) { return count < 64 ? ((__mmask64)1 << count) - 1 : ~(__mmask64)0; }

INLINE void pack_some(int8_t *to, const int8_t *x, __mmask64 there, __mmask64 whole, packing how) {
    const __m512i some = _mm512_mask_loadu_epi8(how.fill, there, x);
    _mm512_mask_storeu_epi8(to, whole, _mm512_xor_si512(some, how.flip));
}

// Line by line: `pieces` of `count` bytes each, which become whole groups.
INLINE void pack_wide(const tody_pack_s8 *args, uint32_t pieces, size_t count, packing how) {
    const tody_pack_s8 p = *args;
    const size_t full = count / 64 * 64, packed = (count + 3) / 4 * 4;
    const __mmask64 there = bytes(count - full), whole = bytes(packed - full);
    for (uint32_t l = 0; l < p.lines; l++) {
        int8_t *row = p.packed + l * pieces * packed;
        for (uint32_t i = 0; i < p.rows; i++, row += p.stride) {
            const int8_t *x = p.a[(size_t)l * p.rows + i];
            int8_t *to = row;
            for (uint32_t piece = 0; piece < pieces; piece++, x += count, to += packed) {
                for (size_t k = 0; k < full; k += 64) pack_some(to + k, x + k, ~(__mmask64)0, ~(__mmask64)0, how);
                if (there) pack_some(to + full, x + full, there, whole, how);
            }
        }
    }
}

// Some taps of a depth below 4, at most sixteen of each line from tap `first` on, spread so that each has four bytes.
INLINE void pack_taps(const tody_pack_s8 *args, uint32_t first, packing how) {
    const tody_pack_s8 p = *args;
    const uint32_t taps = p.run - first < 16 ? p.run - first : 16;
    const __m512i lane = _mm512_set1_epi32(0x03020100), depths = _mm512_set1_epi8((char)p.depth);
    const __m512i tap = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_add_epi8(_mm512_mullo_epi32(tap, _mm512_set1_epi32((int32_t)(p.depth * 0x01010101u))), lane);
    const __mmask64 inside = _mm512_cmplt_epu8_mask(lane, depths), there = bytes((size_t)taps * p.depth);
    const __mmask64 whole = bytes((size_t)taps * 4);
    for (uint32_t l = 0; l < p.lines; l++) {
        const int8_t *const *a = p.a + (size_t)l * p.rows;
        int8_t *to = p.packed + ((size_t)l * p.run + first) * 4;
        for (uint32_t i = 0; i < p.rows; i++, to += p.stride) {
            const __m512i some = _mm512_maskz_loadu_epi8(there, a[i] + (size_t)first * p.depth);
            const __m512i spread = _mm512_mask_permutexvar_epi8(how.fill, inside, from, some);
            _mm512_mask_storeu_epi8(to, whole, _mm512_xor_si512(spread, how.flip));
        }
    }
}

// `flip` is exclusive-ored to each byte: 0x80 adds 128.
static inline void pack_rows(const tody_pack_s8 *p, uint8_t flip) {
    const packing how = {_mm512_set1_epi8((char)p->x_zero), _mm512_set1_epi8((char)flip)};
    if (p->depth % 4 == 0)
        pack_wide(p, 1, (size_t)p->run * p->depth, how);
    else if (p->depth < 4)
        for (uint32_t tap = 0; tap < p->run; tap += 16) pack_taps(p, tap, how);
    else
        pack_wide(p, p->run, p->depth, how);
}

#endif
