// avx512.h - vectors of 512 bits, their halves by AVX2: lanes of 32 bits, whole vectors, and what keeps to its 128 bits.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_EMULATED_AVX512_H
#define TODY_TESTS_EMULATED_AVX512_H

#include "vnni.h"

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;
typedef uint64_t __mmask64;

// One vector, however it is seen.
typedef union v512 {
    __m512i i;
    __m512 f;
    __m256i i256[2];
    __m256 f256[2];
    __m128i i128[4];
    uint8_t u8[64];
    int8_t s8[64];
    int16_t s16[32];
    int32_t s32[16];
    uint32_t u32[16];
    float f32[16];
} v512;

// Both halves by the instruction of 256 bits that has the rest of its name.
#define PAIRS(type, part, name)                                                                                               \
    EMULATED type _mm512_##name(type a, type b) {                                                                             \
        const v512 x = {.part = a}, y = {.part = b};                                                                          \
        const v512 z = {                                                                                                      \
            .part##256 = {_mm256_##name(x.part##256 [0], y.part##256 [0]), _mm256_##name(x.part##256 [1], y.part##256 [1])}}; \
        return z.part;                                                                                                        \
    }
PAIRS(__m512, f, add_ps)
PAIRS(__m512, f, sub_ps)
PAIRS(__m512, f, mul_ps)
PAIRS(__m512, f, div_ps)
PAIRS(__m512, f, min_ps)
PAIRS(__m512, f, max_ps)
PAIRS(__m512, f, and_ps)
PAIRS(__m512, f, andnot_ps)
PAIRS(__m512, f, or_ps)
PAIRS(__m512, f, xor_ps)
PAIRS(__m512i, i, add_epi8)
PAIRS(__m512i, i, add_epi32)
PAIRS(__m512i, i, adds_epi16)
PAIRS(__m512i, i, sub_epi32)
PAIRS(__m512i, i, mullo_epi32)
PAIRS(__m512i, i, max_epi16)
PAIRS(__m512i, i, max_epi32)
PAIRS(__m512i, i, sllv_epi32)
PAIRS(__m512i, i, packs_epi16)
PAIRS(__m512i, i, packs_epi32)
PAIRS(__m512i, i, shuffle_epi8)
PAIRS(__m512i, i, unpacklo_epi32)
PAIRS(__m512i, i, unpackhi_epi32)
PAIRS(__m512i, i, unpacklo_epi64)
PAIRS(__m512i, i, unpackhi_epi64)
#undef PAIRS

// The same of three operands.
#define TRIPLES(type, part, name, half)                                                                   \
    EMULATED type _mm512_##name(type a, type b, type c) {                                                 \
        const v512 x = {.part = a}, y = {.part = b}, z = {.part = c};                                     \
        const v512 r = {.part##256 = {_mm256_##half(x.part##256 [0], y.part##256 [0], z.part##256 [0]),   \
                                      _mm256_##half(x.part##256 [1], y.part##256 [1], z.part##256 [1])}}; \
        return r.part;                                                                                    \
    }
TRIPLES(__m512, f, fmadd_ps, fmadd_ps)
TRIPLES(__m512, f, fnmadd_ps, fnmadd_ps)
TRIPLES(__m512i, i, dpbusd_epi32, dpbusd_avx_epi32)
TRIPLES(__m512i, i, dpwssd_epi32, dpwssd_avx_epi32)
#undef TRIPLES

EMULATED __m512 _mm512_castsi512_ps(__m512i a) { return (__m512)a; }
EMULATED __m512i _mm512_castps_si512(__m512 a) { return (__m512i)a; }
EMULATED __m128i _mm512_castsi512_si128(__m512i a) { return ((v512){.i = a}).i128[0]; }
EMULATED __m256i _mm512_castsi512_si256(__m512i a) { return ((v512){.i = a}).i256[0]; }
EMULATED __m256 _mm512_castps512_ps256(__m512 a) { return ((v512){.f = a}).f256[0]; }

// What is above is anything: here, what no one can want.
EMULATED __m512i _mm512_castsi256_si512(__m256i a) { return ((v512){.i256 = {a, _mm256_set1_epi8(0x5A)}}).i; }
EMULATED __m512i _mm512_castsi128_si512(__m128i a) {
    const __m128i any = _mm_set1_epi8(0x5A);
    return ((v512){.i128 = {a, any, any, any}}).i;
}
EMULATED __m512i _mm512_zextsi128_si512(__m128i a) { return ((v512){.i128 = {a}}).i; }

EMULATED __m512 _mm512_set1_ps(float x) { return ((v512){.f256 = {_mm256_set1_ps(x), _mm256_set1_ps(x)}}).f; }
EMULATED __m512i _mm512_set1_epi8(char x) { return ((v512){.i256 = {_mm256_set1_epi8(x), _mm256_set1_epi8(x)}}).i; }
EMULATED __m512i _mm512_set1_epi16(short x) { return ((v512){.i256 = {_mm256_set1_epi16(x), _mm256_set1_epi16(x)}}).i; }
EMULATED __m512i _mm512_set1_epi32(int x) { return ((v512){.i256 = {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}}).i; }
EMULATED __m512i _mm512_setzero_si512(void) { return (__m512i){0}; }
EMULATED __m512i _mm512_set_epi32(int p, int o, int n, int m, int l, int k, int j, int i, int h, int g, int f, int e, int d,
                                  int c, int b, int a) {
    return ((v512){.s32 = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p}}).i;
}

EMULATED __m512 _mm512_loadu_ps(const void *p) {
    __m512 a;
    memcpy(&a, p, sizeof a);
    return a;
}
EMULATED __m512i _mm512_loadu_si512(const void *p) { return (__m512i)_mm512_loadu_ps(p); }
EMULATED void _mm512_storeu_ps(void *p, __m512 a) { memcpy(p, &a, sizeof a); }
EMULATED void _mm512_storeu_si512(void *p, __m512i a) { memcpy(p, &a, sizeof a); }

EMULATED __m512i _mm512_maskz_loadu_epi32(__mmask16 m, const void *p) {
    v512 r = {.i = _mm512_setzero_si512()};
    for (int i = 0; i < 16; i++) {
        if (m >> i & 1) memcpy(&r.s32[i], (const char *)p + 4 * i, 4);
    }
    return r.i;
}
EMULATED __m512 _mm512_maskz_loadu_ps(__mmask16 m, const void *p) { return (__m512)_mm512_maskz_loadu_epi32(m, p); }
EMULATED void _mm512_mask_storeu_ps(void *p, __mmask16 m, __m512 a) {
    const v512 x = {.f = a};
    for (int i = 0; i < 16; i++) {
        if (m >> i & 1) memcpy((char *)p + 4 * i, &x.f32[i], 4);
    }
}

EMULATED __m512 _mm512_mask_blend_ps(__mmask16 m, __m512 no, __m512 yes) {
    v512 r = {.f = no};
    const v512 x = {.f = yes};
    for (int i = 0; i < 16; i++) {
        if (m >> i & 1) r.u32[i] = x.u32[i];
    }
    return r.f;
}

EMULATED __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int how) {
    if (how != _CMP_LT_OQ && how != _CMP_UNORD_Q) abort();
    const v512 x = {.f = a}, y = {.f = b};
    uint32_t m = 0;
    for (int i = 0; i < 16; i++) {
        const bool less = x.f32[i] < y.f32[i], unordered = __builtin_isunordered(x.f32[i], y.f32[i]);
        m |= (uint32_t)(how == _CMP_LT_OQ ? less : unordered) << i;
    }
    return (__mmask16)m;
}

EMULATED __m512 _mm512_sqrt_ps(__m512 a) {
    const v512 x = {.f = a};
    return ((v512){.f256 = {_mm256_sqrt_ps(x.f256[0]), _mm256_sqrt_ps(x.f256[1])}}).f;
}

// a * 2^floor(b), rounded once: the product is exact in doubles. Beyond 300 all is zero or infinite.
EMULATED __m512 _mm512_scalef_ps(__m512 a, __m512 b) {
    v512 x = {.f = a};
    const v512 y = {.f = b};
    for (int i = 0; i < 16; i++) {
        const float n = __builtin_floorf(y.f32[i]);
        const int64_t bits = (1023 + (int64_t)(n < -300 ? -300 : n > 300 ? 300 : n)) << 52;
        double power;
        memcpy(&power, &bits, sizeof power);
        x.f32[i] = n == n ? (float)(x.f32[i] * power) : n;
    }
    return x.f;
}

EMULATED __m512 _mm512_cvtepi32_ps(__m512i a) {
    const v512 x = {.i = a};
    return ((v512){.f256 = {_mm256_cvtepi32_ps(x.i256[0]), _mm256_cvtepi32_ps(x.i256[1])}}).f;
}
EMULATED __m512i _mm512_cvtps_epi32(__m512 a) {
    const v512 x = {.f = a};
    return ((v512){.i256 = {_mm256_cvtps_epi32(x.f256[0]), _mm256_cvtps_epi32(x.f256[1])}}).i;
}
EMULATED __m512i _mm512_cvtepi8_epi32(__m128i a) {
    return ((v512){.i256 = {_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8))}}).i;
}
EMULATED __m512i _mm512_cvtepi16_epi32(__m256i a) {
    return ((v512){.i256 = {_mm256_cvtepi16_epi32(_mm256_castsi256_si128(a)),
                            _mm256_cvtepi16_epi32(_mm256_extracti128_si256(a, 1))}})
        .i;
}

EMULATED __m512i _mm512_slli_epi32(__m512i a, unsigned n) { return _mm512_sllv_epi32(a, _mm512_set1_epi32((int)n)); }
EMULATED __m512i _mm512_srai_epi32(__m512i a, unsigned n) {
    const v512 x = {.i = a};
    const __m256i by = _mm256_set1_epi32((int)n);
    return ((v512){.i256 = {_mm256_srav_epi32(x.i256[0], by), _mm256_srav_epi32(x.i256[1], by)}}).i;
}
EMULATED __m512i _mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }

EMULATED __m256 _mm512_extractf32x8_ps(__m512 a, int at) { return ((v512){.f = a}).f256[at]; }
EMULATED __m128i _mm512_extracti32x4_epi32(__m512i a, int at) { return ((v512){.i = a}).i128[at]; }
EMULATED __m512i _mm512_inserti32x4(__m512i a, __m128i b, int at) {
    v512 r = {.i = a};
    r.i128[at] = b;
    return r.i;
}
EMULATED __m512i _mm512_broadcast_i32x4(__m128i a) { return ((v512){.i128 = {a, a, a, a}}).i; }
EMULATED __m512i _mm512_mask_broadcast_i32x4(__m512i a, __mmask16 m, __m128i b) {
    return (__m512i)_mm512_mask_blend_ps(m, (__m512)a, (__m512)_mm512_broadcast_i32x4(b));
}
EMULATED __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int from) {
    const v512 x = {.i = a}, y = {.i = b};
    return ((v512){.i128 = {x.i128[from & 3], x.i128[from >> 2 & 3], y.i128[from >> 4 & 3], y.i128[from >> 6 & 3]}}).i;
}

#endif
