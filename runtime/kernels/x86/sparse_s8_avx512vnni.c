// sparse_s8_avx512vnni.c - int8 product with weights in blocks: 16 rows in the lanes of a vector, up to 4 vectors at a time.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx512.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { ROWS = 64, WORD_BYTES = 4, LINE = ROWS * WORD_BYTES };

// A 16 by 16 matrix of words, mirrored.
static inline void mirror(__m512i v[16]) {
    __m512i t[16];
    for (uint32_t i = 0; i < 16; i += 4) {  // within four rows: 4 by 4 in each quarter
        const __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        const __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (uint32_t i = 0; i < 4; i++) {  // then the quarters
        const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x44), b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xEE);
        const __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x44), d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xEE);
        v[i] = _mm512_shuffle_i32x4(a, c, 0x88), v[i + 4] = _mm512_shuffle_i32x4(a, c, 0xDD);
        v[i + 8] = _mm512_shuffle_i32x4(b, d, 0x88), v[i + 12] = _mm512_shuffle_i32x4(b, d, 0xDD);
    }
}

// Up to 64 values of 16 rows, from `at` on.
static void gather_square(const tody_words_s8 *g, uint32_t row, uint32_t at) {
    const uint32_t left = g->count - at, words = left < 64 ? (left + 3) / 4 : 16;
    const __mmask64 m = left < 64 ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
    const __m512i zero = _mm512_set1_epi8((char)g->x_zero), sign = _mm512_set1_epi8((char)0x80);
    __m512i v[16];
    for (uint32_t i = 0; i < 16; i++) {
        const int8_t *a = g->a[row + i < g->rows ? row + i : g->rows - 1] + g->first + at;
        v[i] = _mm512_xor_si512(_mm512_mask_loadu_epi8(zero, m, a), sign);
    }
    mirror(v);
    int8_t *to = g->words + (size_t)at / 4 * LINE + row * WORD_BYTES;
    for (uint32_t i = 0; i < words; i++) _mm512_storeu_si512(to + (size_t)i * LINE, v[i]);
}

void tody_words_s8_avx512vnni(const tody_words_s8 *args) {
    for (uint32_t row = 0; row < args->rows; row += 16) {
        for (uint32_t at = 0; at < args->count; at += 64) gather_square(args, row, at);
    }
}

static inline __m512i four(const int8_t *w) {
    int32_t value;
    memcpy(&value, w, sizeof value);
    return all_s32(value);
}

// One output channel, `vectors` of rows; the sums of two halves of its blocks meet at the end.
INLINE void channel(const tody_sparse_s8 *g, uint32_t n, int32_t *sums, const uint32_t vectors) {
    const uint8_t *place = g->places + g->starts[n], *end = g->places + g->starts[n + 1];
    const int8_t *w = g->w + (size_t)g->starts[n] * 4;
    __m512i s[4], t[4];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < vectors; v++) {
        s[v] = g->more ? _mm512_loadu_si512(sums + 16 * v) : all_s32(g->start[n]);
        t[v] = _mm512_setzero_si512();
    }
    for (; end - place >= 2; place += 2, w += 8) {
        const int8_t *x = g->words + (size_t)place[0] * LINE, *y = g->words + (size_t)place[1] * LINE;
        const __m512i p = four(w), q = four(w + 4);
#pragma GCC unroll 4
        for (uint32_t v = 0; v < vectors; v++) {
            s[v] = _mm512_dpbusd_epi32(s[v], _mm512_loadu_si512(x + 64 * v), p);
            t[v] = _mm512_dpbusd_epi32(t[v], _mm512_loadu_si512(y + 64 * v), q);
        }
    }
    if (place < end) {
        const int8_t *x = g->words + (size_t)*place * LINE;
        const __m512i p = four(w);
#pragma GCC unroll 4
        for (uint32_t v = 0; v < vectors; v++) s[v] = _mm512_dpbusd_epi32(s[v], _mm512_loadu_si512(x + 64 * v), p);
    }
#pragma GCC unroll 4
    for (uint32_t v = 0; v < vectors; v++) _mm512_storeu_si512(sums + 16 * v, _mm512_add_epi32(s[v], t[v]));
}

INLINE void channels(const tody_sparse_s8 *g, const uint32_t vectors) {
    for (uint32_t n = 0; n < g->cols; n++) channel(g, n, g->sums + (size_t)n * ROWS, vectors);
}

// In each quarter, four words become four other words: byte i of word j is byte j of word i.
static inline __m512i mirror_bytes(__m512i v) {
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
}

// Four registers of words, mirrored 4 by 4 in each quarter.
static inline void mirror_words(__m512i v[4]) {
    const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi64(a, c), v[1] = _mm512_unpackhi_epi64(a, c);
    v[2] = _mm512_unpacklo_epi64(b, d), v[3] = _mm512_unpackhi_epi64(b, d);
}

// Row 4 * quarter + i of 16 is quarter `quarter` of register i.
static inline __m128i quarter_of(const __m512i v[4], uint32_t row) {
    switch (row / 4) {
        case 0: return _mm512_castsi512_si128(v[row % 4]);
        case 1: return _mm512_extracti32x4_epi32(v[row % 4], 1);
        case 2: return _mm512_extracti32x4_epi32(v[row % 4], 2);
        default: return _mm512_extracti32x4_epi32(v[row % 4], 3);
    }
}

// Four channels of each row's addend in a word: byte j of word i of register k is row i, channel 4 * k + j.
static inline void load_addend(const tody_sparse_s8 *g, uint32_t row, uint32_t rows, __mmask16 m, __m512i v[4]) {
    __m128i lines[16];
    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t at = row + (i < rows ? i : rows - 1);
        lines[i] = _mm_maskz_loadu_epi8(m, g->addend + at * g->addend_stride);
    }
    for (uint32_t i = 0; i < 4; i++) {
        v[i] = _mm512_inserti32x4(_mm512_castsi128_si512(lines[i]), lines[i + 4], 1);
        v[i] = _mm512_inserti32x4(_mm512_inserti32x4(v[i], lines[i + 8], 2), lines[i + 12], 3);
    }
    mirror_words(v);
}

// Sixteen of tody_result_s8 without `lo` and `zero` (vector_s8_avx512.h); the addends are byte `n % 4` of the words. `slopes`:
// as of the layer, a constant where there are none.
INLINE __m512i result(const tody_sparse_s8 *g, uint32_t row, uint32_t n, const bool with_addend, __m512i addend,
                      uint32_t slopes) {
    vector p = mul(_mm512_cvtepi32_ps(_mm512_loadu_si512(g->sums + (size_t)n * ROWS + row)), all(g->scale[n]));
    if (with_addend) {
        const __m512i byte = _mm512_srai_epi32(_mm512_sllv_epi32(addend, all_s32(24 - 8 * (int32_t)(n % 4))), 24);
        p = add_s8(p, byte, &g->layer);
    }
    return round_s8(slopes ? leak(p, all(g->scale[n + slopes])) : p, &g->layer);
}

INLINE void finish_square(const tody_sparse_s8 *g, uint32_t row, uint32_t rows, const bool with_addend) {
    const tody_finish_s8 *f = &g->layer.finish;
    const __mmask16 m = first(g->cols);
    const __m512i lo = _mm512_set1_epi16((short)((int32_t)f->lo + f->zero)), zero = _mm512_set1_epi16((short)f->zero);
    __m512i v[4], added[4] = {zero, zero, zero, zero};
    if (with_addend) load_addend(g, row, rows, m, added);
#pragma GCC unroll 4
    for (uint32_t k = 0; k < 4; k++) {
        __m512i r[4];
#pragma GCC unroll 4
        for (uint32_t n = 0; n < 4; n++) r[n] = result(g, row, 4 * k + n, with_addend, added[k], g->layer.slopes);
        const __m512i low = _mm512_max_epi16(_mm512_adds_epi16(_mm512_packs_epi32(r[0], r[1]), zero), lo);
        const __m512i high = _mm512_max_epi16(_mm512_adds_epi16(_mm512_packs_epi32(r[2], r[3]), zero), lo);
        v[k] = mirror_bytes(_mm512_packs_epi16(low, high));
    }
    mirror_words(v);
    for (uint32_t i = 0; i < rows; i++) _mm_mask_storeu_epi8(g->c + (row + i) * g->c_stride, m, quarter_of(v, i));
}

static void finish_all(const tody_sparse_s8 *g) {
    for (uint32_t row = 0; row < g->rows; row += 16) {
        const uint32_t rows = g->rows - row < 16 ? g->rows - row : 16;
        if (g->addend)
            finish_square(g, row, rows, true);
        else
            finish_square(g, row, rows, false);
    }
}

void tody_sparse_s8_avx512vnni(const tody_sparse_s8 *args) {
    switch ((args->rows + 15) / 16) {
        case 1: channels(args, 1); break;
        case 2: channels(args, 2); break;
        case 3: channels(args, 3); break;
        default: channels(args, 4); break;
    }
    if (args->c) finish_all(args);
}
