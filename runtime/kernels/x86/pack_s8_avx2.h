// pack_s8_avx2.h - rows of int8 side by side, sixteen values at a time, with 128 added.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_PACK_S8_AVX2_H
#define TODY_X86_PACK_S8_AVX2_H

#include "vector_s8_avx2.h"

static inline __m128i shifted(__m128i values) { return _mm_xor_si128(values, _mm_set1_epi8((char)0x80)); }

static inline void put(int8_t *to, __m128i values) { _mm_storeu_si128((__m128i *)(void *)to, shifted(values)); }

// A line of whole groups. The last sixteen values may be some of those before, again.
static inline int8_t *pack_groups(int8_t *to, const int8_t *x, size_t count) {
    size_t k = 0;
    for (; k + 16 <= count; k += 16) put(to + k, load_s8(x + k, 16));
    if (k < count) {
        const size_t last = count > 16 ? count - 16 : 0;
        put(to + last, load_s8(x + last, count - last));
    }
    return to + count;
}

// How four taps of a depth below 4 become four groups: two loads of eight bytes of a line, and where from these each goes.
typedef struct spread {
    size_t low, high;
    __m128i from, there;  // not there: what fills a group up
} spread;

// Taps from `first` on of lines of `count` bytes, at least 8: none behind a line is loaded, so that the loads may overlap.
static inline spread spread_of(const tody_pack_s8 *p, uint32_t first, size_t count) {
    const __m128i lane = _mm_set1_epi32(0x03020100), tap = _mm_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303);
    const size_t start = (size_t)first * p->depth, most = count < 16 ? 0 : count - 16, low = start < most ? start : most;
    const size_t high = low + 8 < count - 8 ? low + 8 : count - 8;
    const __m128i byte = _mm_add_epi8(_mm_mullo_epi16(tap, _mm_set1_epi16((short)p->depth)), lane);
    const __m128i at = _mm_add_epi8(byte, _mm_set1_epi8((char)(start - low)));
    const __m128i behind = _mm_cmpgt_epi8(at, _mm_set1_epi8(7)), gap = _mm_set1_epi8((char)(low + 8 - high));
    return (spread){low, high, _mm_add_epi8(at, _mm_and_si128(behind, gap)),
                    _mm_cmplt_epi8(lane, _mm_set1_epi8((char)p->depth))};
}

static inline void pack_taps(const tody_pack_s8 *p, uint32_t first) {
    const size_t count = (size_t)p->run * p->depth;
    const spread s = spread_of(p, first, count < 8 ? 8 : count);
    const __m128i fill = _mm_andnot_si128(s.there, _mm_set1_epi8((char)p->x_zero));
    for (uint32_t i = 0; i < p->rows; i++) {
        const int8_t *const *a = p->a + i;
        int8_t *to = p->packed + i * p->stride + (size_t)first * 4;
        for (uint32_t l = 0; l < p->lines; l++, a += p->rows, to += (size_t)p->run * 4) {
            const uint64_t low = load_part(*a + s.low, count), high = count < 8 ? 0 : load_part(*a + s.high, 8);
            const __m128i some = _mm_shuffle_epi8(_mm_set_epi64x((long long)high, (long long)low), s.from);
            put(to, _mm_or_si128(_mm_and_si128(some, s.there), fill));
        }
    }
}

// A tap whose last group is filled up.
static inline int8_t *pack_tap(int8_t *to, const int8_t *x, const tody_pack_s8 *p) {
    const __m128i lane = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (uint32_t k = 0; k < p->depth; k += 16) {
        const uint32_t left = p->depth - k < 16 ? p->depth - k : 16;
        const __m128i there = _mm_cmplt_epi8(lane, _mm_set1_epi8((char)left));
        put(to + (size_t)k, _mm_blendv_epi8(_mm_set1_epi8((char)p->x_zero), load_s8(x + k, left), there));
    }
    return to + (size_t)(p->depth + 3) / 4 * 4;
}

static inline void pack_rows(const tody_pack_s8 *args) {
    const tody_pack_s8 copy = *args, *p = &copy;
    // From the last four taps on, because those that are fewer write into the first ones of the next line.
    for (uint32_t t = (p->run + 3) / 4 * 4; p->depth < 4 && t > 0; t -= 4) pack_taps(p, t - 4);
    for (uint32_t i = 0; p->depth >= 4 && i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) {
            const int8_t *x = p->a[(size_t)l * p->rows + i];
            if (p->depth % 4 == 0) {
                to = pack_groups(to, x, (size_t)p->run * p->depth);
            } else {
                for (uint32_t t = 0; t < p->run; t++) to = pack_tap(to, x + (size_t)t * p->depth, p);
            }
        }
    }
}

#endif
