// lut_s8_avx2.c - tables of int8: the lower four bits look up in sixteen rows at once, the others choose among these.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { ROWS = 16, LANES = 32 };

static inline __m256i load_row(const int8_t *x) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x));
}

// The index of 32 values in parts; the highest bit of each byte is what chooses, so that those below it are moved up there.
typedef struct parts {
    __m256i low, bit_4, bit_5, bit_6, bit_7;
} parts;

static inline parts parts_of(__m256i x) {
    const __m256i bit_6 = _mm256_add_epi8(x, x), bit_5 = _mm256_add_epi8(bit_6, bit_6);
    return (parts){_mm256_and_si256(x, _mm256_set1_epi8(15)), _mm256_add_epi8(bit_5, bit_5), bit_5, bit_6, x};
}

// Of two, four and eight rows.
static inline __m256i of_two(const __m256i *rows, const parts *p) {
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(rows[0], p->low), _mm256_shuffle_epi8(rows[1], p->low), p->bit_4);
}

static inline __m256i of_four(const __m256i *rows, const parts *p) {
    return _mm256_blendv_epi8(of_two(rows, p), of_two(rows + 2, p), p->bit_5);
}

static inline __m256i of_eight(const __m256i *rows, const parts *p) {
    return _mm256_blendv_epi8(of_four(rows, p), of_four(rows + 4, p), p->bit_6);
}

void tody_lut_s8_avx2(const int8_t *table, const int8_t *x, int8_t *y, size_t count) {
    __m256i rows[ROWS];
    for (size_t r = 0; r < ROWS; r++) rows[r] = load_row(table + r * 16);
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const parts p = parts_of(_mm256_loadu_si256((const __m256i *)(const void *)(x + i)));
        const __m256i found = _mm256_blendv_epi8(of_eight(rows + 8, &p), of_eight(rows, &p), p.bit_7);  // negative ones first
        _mm256_storeu_si256((__m256i *)(void *)(y + i), found);
    }
    for (; i < count; i++) y[i] = table[x[i] + 128];
}
