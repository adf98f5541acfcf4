// pack_s8_avx2.h - rows of int8 side by side, sixteen values at a time, with 128 added.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_PACK_S8_AVX2_H
#define TODY_X86_PACK_S8_AVX2_H

#include "vector_s8_avx2.h"

static inline void put(int8_t *to, __m128i values) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm_xor_si128(values, _mm_set1_epi8((char)0x80)));
}

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

// Taps of a depth below 4, four at a time, spread so that each has a group. `from` takes the bytes apart.
static inline int8_t *pack_narrow(int8_t *to, const int8_t *x, const tody_pack_s8 *p, __m128i from, __m128i there,
                                  __m128i fill) {
    for (uint32_t t = 0; t < p->run; t += 4) {
        const size_t left = (size_t)(p->run - t) * p->depth;
        const __m128i some = _mm_shuffle_epi8(load_s8(x + (size_t)t * p->depth, left), from);
        put(to + (size_t)t * 4, _mm_or_si128(_mm_and_si128(some, there), fill));
    }
    return to + (size_t)p->run * 4;
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
    const __m128i lane = _mm_set1_epi32(0x03020100), there = _mm_cmplt_epi8(lane, _mm_set1_epi8((char)p->depth));
    const __m128i tap = _mm_mullo_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32((int32_t)(p->depth * 0x01010101u)));
    const __m128i from = _mm_add_epi8(tap, lane), fill = _mm_andnot_si128(there, _mm_set1_epi8((char)p->x_zero));
    for (uint32_t i = 0; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) {
            const int8_t *x = p->a[(size_t)l * p->rows + i];
            if (p->depth % 4 == 0) {
                to = pack_groups(to, x, (size_t)p->run * p->depth);
            } else if (p->depth < 4) {
                to = pack_narrow(to, x, p, from, there, fill);
            } else {
                for (uint32_t t = 0; t < p->run; t++) to = pack_tap(to, x + (size_t)t * p->depth, p);
            }
        }
    }
}

#endif
