// avx512_bytes.h - lanes of 8 and 16 bits (AVX-512BW, VL and VBMI): masks and permutations.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_EMULATED_AVX512_BYTES_H
#define TODY_TESTS_EMULATED_AVX512_BYTES_H

#include "avx512.h"

// The lanes of `m`, of `size` bytes each, from one place to another.
EMULATED void copy_lanes(void *to, __mmask64 m, const void *from, int count, size_t size) {
    for (int i = 0; i < count; i++) {
        if (m >> i & 1) memcpy((char *)to + (size_t)i * size, (const char *)from + (size_t)i * size, size);
    }
}

EMULATED __m512i _mm512_mask_loadu_epi8(__m512i a, __mmask64 m, const void *p) {
    copy_lanes(&a, m, p, 64, 1);
    return a;
}
EMULATED __m512i _mm512_maskz_loadu_epi8(__mmask64 m, const void *p) {
    return _mm512_mask_loadu_epi8(_mm512_setzero_si512(), m, p);
}
EMULATED __m256i _mm256_maskz_loadu_epi8(__mmask32 m, const void *p) {
    __m256i a = _mm256_setzero_si256();
    copy_lanes(&a, m, p, 32, 1);
    return a;
}
EMULATED __m256i _mm256_maskz_loadu_epi16(__mmask16 m, const void *p) {
    __m256i a = _mm256_setzero_si256();
    copy_lanes(&a, m, p, 16, 2);
    return a;
}
EMULATED __m128i _mm_maskz_loadu_epi8(__mmask16 m, const void *p) {
    __m128i a = _mm_setzero_si128();
    copy_lanes(&a, m, p, 16, 1);
    return a;
}
EMULATED void _mm512_mask_storeu_epi8(void *p, __mmask64 m, __m512i a) { copy_lanes(p, m, &a, 64, 1); }
EMULATED void _mm256_mask_storeu_epi8(void *p, __mmask32 m, __m256i a) { copy_lanes(p, m, &a, 32, 1); }
EMULATED void _mm_mask_storeu_epi8(void *p, __mmask16 m, __m128i a) { copy_lanes(p, m, &a, 16, 1); }

// Conversions that only leave bits out.
EMULATED __m128i _mm512_cvtepi32_epi8(__m512i a) {
    const v512 x = {.i = a};
    int8_t r[16];
    for (int i = 0; i < 16; i++) r[i] = (int8_t)x.s32[i];
    return _mm_loadu_si128((const __m128i *)(const void *)r);
}
EMULATED void _mm512_mask_cvtepi32_storeu_epi16(void *p, __mmask16 m, __m512i a) {
    const v512 x = {.i = a};
    int16_t r[16];
    for (int i = 0; i < 16; i++) r[i] = (int16_t)x.s32[i];
    copy_lanes(p, m, r, 16, 2);
}

EMULATED __mmask64 _mm512_movepi8_mask(__m512i a) {
    const v512 x = {.i = a};
    const uint32_t low = (uint32_t)_mm256_movemask_epi8(x.i256[0]), high = (uint32_t)_mm256_movemask_epi8(x.i256[1]);
    return (__mmask64)high << 32 | low;
}
EMULATED __mmask64 _mm512_cmplt_epu8_mask(__m512i a, __m512i b) {
    const v512 x = {.i = a}, y = {.i = b};
    __mmask64 m = 0;
    for (int i = 0; i < 64; i++) m |= (__mmask64)(x.u8[i] < y.u8[i]) << i;
    return m;
}
EMULATED __m512i _mm512_mask_blend_epi8(__mmask64 m, __m512i no, __m512i yes) {
    copy_lanes(&no, m, &yes, 64, 1);
    return no;
}

EMULATED __m512i _mm512_permutex2var_epi8(__m512i a, __m512i from, __m512i b) {
    const v512 x = {.i = a}, y = {.i = b}, at = {.i = from};
    v512 r;
    for (int i = 0; i < 64; i++) r.u8[i] = (at.u8[i] & 64 ? y : x).u8[at.u8[i] & 63];
    return r.i;
}
EMULATED __m512i _mm512_permutexvar_epi8(__m512i from, __m512i a) { return _mm512_permutex2var_epi8(a, from, a); }
EMULATED __m512i _mm512_mask_permutexvar_epi8(__m512i a, __mmask64 m, __m512i from, __m512i b) {
    return _mm512_mask_blend_epi8(m, a, _mm512_permutexvar_epi8(from, b));
}

#endif
