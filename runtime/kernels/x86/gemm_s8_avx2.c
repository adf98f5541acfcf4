// gemm_s8_avx2.c - int8 matrix product on panels of 16 columns: 6 rows by 2 vectors of 8 int32 in registers.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: products of two pairs of int16 are added in int32 (vpmaddwd). vpmaddubsw would take bytes as they are, but saturates.
#include "kernels/sums_s8.h"
#include "vector_s8_avx2.h"

enum { ROWS = 6, GROUPS = 64 };  // groups of four values of depth, of which so many are widened at a time

// Rows of A, widened and less the zero point. Four values a, b, c, d stand as a, c, b, d: even and odd bytes of w, which are
// cheap to take apart, meet a pair each.
typedef struct wide {
    int16_t x[ROWS][GROUPS * 4];
} wide;

typedef struct place {
    uint32_t tap, k;
} place;

static inline __m256i load_256(const int8_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

// Four values of which `count`, at least 1, are there; the others come out as 0.
static inline void widen_four(const int8_t *a, uint32_t count, int32_t zero, int16_t *x) {
    x[0] = (int16_t)(a[0] - zero);
    x[2] = (int16_t)(count > 1 ? a[1] - zero : 0);
    x[1] = (int16_t)(count > 2 ? a[2] - zero : 0);
    x[3] = (int16_t)(count > 3 ? a[3] - zero : 0);
}

static inline void widen(const int8_t *a, uint32_t count, int32_t zero, int16_t *x) {
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    const __m256i zeros = _mm256_set1_epi16((short)zero);
    uint32_t k = 0;
    for (; k + 16 <= count; k += 16) {
        const __m128i bytes = _mm_shuffle_epi8(load_s8(a + k, 16), order);
        _mm256_storeu_si256((__m256i *)(void *)(x + k), _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), zeros));
    }
    for (; k < count; k += 4) widen_four(a + k, count - k, zero, x + k);
}

// Fill `to` from `at` on and move `at`; how many groups there are now, 0 at the end.
static uint32_t fill(const tody_gemm_s8 *g, place *at, wide *to) {
    uint32_t groups = 0;
    while (at->tap < g->taps && groups < GROUPS) {
        const uint32_t room = (GROUPS - groups) * 4, left = g->depth - at->k, count = left < room ? left : room;
        for (uint32_t i = 0; i < g->rows; i++) {
            widen(g->a[(size_t)at->tap * g->rows + i] + at->k, count, g->layer.x_zero, to->x[i] + (size_t)groups * 4);
        }
        groups += (count + 3) / 4;
        at->k += count;
        if (at->k == g->depth) *at = (place){at->tap + 1, 0};
    }
    return groups;
}

static inline __attribute__((always_inline)) sums add_pair(sums s, const int16_t *pair, sums w) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    const __m256i x = _mm256_set1_epi32(both);
    s.low = _mm256_add_epi32(s.low, _mm256_madd_epi16(w.low, x));
    s.high = _mm256_add_epi32(s.high, _mm256_madd_epi16(w.high, x));
    return s;
}

static void finish_rows(const tody_gemm_s8 *g, const sums *rows) {
    const sums scale = scale_s8(g->scale, 16), bias = bias_s8(g->bias, 16);
    for (uint32_t i = 0; i < g->rows; i++) {
        const __m256i start = _mm256_set1_epi32(tody_row_start_s8(g, i));
        const sums s = {_mm256_add_epi32(rows[i].low, _mm256_add_epi32(bias.low, start)),
                        _mm256_add_epi32(rows[i].high, _mm256_add_epi32(bias.high, start))};
        finish_s8(g->c + i * g->c_stride, g->cols, s, scale, g->addend ? g->addend + i * g->addend_stride : NULL, &g->layer);
    }
}

// Sums of 16 columns of each row. Variables and not an array, which gcc 12 would keep in memory.
typedef struct block {
    sums s0, s1, s2, s3, s4, s5;
} block;

// Even or odd bytes of 64 weights in 16 bits. `odd` is a constant after inlining; so is `rows` below.
static inline __attribute__((always_inline)) sums weights(const int8_t *w, const bool odd) {
    const __m256i low = load_256(w), high = load_256(w + 32);
    if (odd) return (sums){_mm256_srai_epi16(low, 8), _mm256_srai_epi16(high, 8)};
    return (sums){_mm256_srai_epi16(_mm256_slli_epi16(low, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 8)};
}

// Even and odd bytes go by one after the other: together, compilers would add their products up first and run out of registers.
static inline __attribute__((always_inline)) block half(block b, const int16_t *x, uint32_t groups, const int8_t *w,
                                                        const uint32_t rows, const bool odd) {
    for (const int16_t *end = x + (size_t)groups * 4; x < end; x += 4, w += 64) {
        const sums v = weights(w, odd);
        b.s0 = add_pair(b.s0, x, v);
        if (rows > 1) b.s1 = add_pair(b.s1, x + GROUPS * 4, v);
        if (rows > 2) b.s2 = add_pair(b.s2, x + GROUPS * 8, v);
        if (rows > 3) b.s3 = add_pair(b.s3, x + GROUPS * 12, v);
        if (rows > 4) b.s4 = add_pair(b.s4, x + GROUPS * 16, v);
        if (rows > 5) b.s5 = add_pair(b.s5, x + GROUPS * 20, v);
    }
    return b;
}

static inline __attribute__((always_inline)) void tile(const tody_gemm_s8 *g, const uint32_t rows) {
    const sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    block b = {zero, zero, zero, zero, zero, zero};
    const int8_t *w = g->w;
    wide wide;
    place at = {0, 0};
    for (uint32_t groups = fill(g, &at, &wide); groups > 0; groups = fill(g, &at, &wide)) {
        b = half(b, wide.x[0], groups, w, rows, false);
        b = half(b, wide.x[0] + 2, groups, w, rows, true);
        w += (size_t)groups * 64;
    }
    const sums all[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5};
    finish_rows(g, all);
}

void tody_gemm_s8_avx2(const tody_gemm_s8 *args) {
    switch (args->rows) {
        case 1: tile(args, 1); break;
        case 2: tile(args, 2); break;
        case 3: tile(args, 3); break;
        case 4: tile(args, 4); break;
        case 5: tile(args, 5); break;
        default: tile(args, 6); break;
    }
}
