// gemm_s8_avx2.c - int8 matrix product on panels of 16 columns: 6 rows by 2 vectors of 8 int32 in registers.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: rows are packed as int16, less the zero point, and products of two pairs are added in int32 (vpmaddwd). vpmaddubsw
// would take bytes as they are, but saturates. Four values a, b, c, d stand as a, c, b, d: even and odd bytes of the weights,
// which are cheap to take apart, meet a pair each.
#include "vector_s8_avx2.h"

enum { TILE = 6, BYTES = 2 };
enum { GROUPS = 64 };  // of which the weights stay in the first-level cache for the second pass

#include "gemm_s8.h"
#include "pack_s8_avx2.h"

static sums start_of(const tody_gemm_s8 *g, const columns *c) { return bias_s8(g->bias ? g->bias + c->first : NULL, c->count); }

static int32_t row_start(const tody_gemm_s8 *g, const int8_t *row) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k < g->depth; k++) {
        int16_t value;
        memcpy(&value, row + (size_t)k * BYTES, sizeof value);
        const int32_t wide = value;
        sum += (uint32_t)wide;
    }
    return (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
}

INLINE sums add_pair(sums s, const int8_t *pair, sums w) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    const __m256i x = all_s32(both);
    return (sums){add_s32(s.low, _mm256_madd_epi16(w.low, x)), add_s32(s.high, _mm256_madd_epi16(w.high, x))};
}

// Even or odd bytes of 64 weights in 16 bits. `odd` is a constant after inlining.
INLINE sums weights(const int8_t *w, const bool odd) {
    const sums v = load_bytes(w);
    if (odd) return (sums){_mm256_srai_epi16(v.low, 8), _mm256_srai_epi16(v.high, 8)};
    return (sums){_mm256_srai_epi16(_mm256_slli_epi16(v.low, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(v.high, 8), 8)};
}

// Sums of 16 columns of each row. Variables and not an array, which gcc 12 would keep in memory.
typedef struct block {
    sums s0, s1, s2, s3, s4, s5;
} block;

// Even and odd bytes go by one after the other: together, compilers would add their products up first and run out of registers.
INLINE block half(block b, const int8_t *x, size_t stride, const int8_t *w, size_t groups, const uint32_t rows,
                  const bool odd) {
    const int8_t *y = x + 3 * stride;
    for (const int8_t *end = w + groups * 64; w < end; x += 8, y += 8, w += 64) {
        const sums v = weights(w, odd);
        b.s0 = add_pair(b.s0, x, v);
        if (rows > 1) b.s1 = add_pair(b.s1, x + stride, v);
        if (rows > 2) b.s2 = add_pair(b.s2, x + 2 * stride, v);
        if (rows > 3) b.s3 = add_pair(b.s3, y, v);
        if (rows > 4) b.s4 = add_pair(b.s4, y + stride, v);
        if (rows > 5) b.s5 = add_pair(b.s5, y + 2 * stride, v);
    }
    return b;
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, sums *s) {
    const sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    block b = {zero, zero, zero, zero, zero, zero};
    for (size_t at = 0; at < c->groups; at += GROUPS) {
        const size_t groups = c->groups - at < GROUPS ? c->groups - at : GROUPS;
        b = half(b, a + at * 8, g->packed_stride, c->w + at * 64, groups, rows, false);
        b = half(b, a + at * 8 + 4, g->packed_stride, c->w + at * 64, groups, rows, true);
    }
    const sums all[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5};
    memcpy(s, all, rows * sizeof *s);
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    switch (rows) {
        case 1: tile_of(g, c, a, 1, s); break;
        case 2: tile_of(g, c, a, 2, s); break;
        case 3: tile_of(g, c, a, 3, s); break;
        case 4: tile_of(g, c, a, 4, s); break;
        case 5: tile_of(g, c, a, 5, s); break;
        default: tile_of(g, c, a, TILE, s); break;
    }
}

static inline void put(int8_t *to, __m128i values, const tody_pack_s8 *p) {
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(values, order));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_sub_epi16(wide, _mm256_set1_epi16((short)p->x_zero)));
}

void tody_gemm_s8_avx2(const tody_gemm_s8 *args) { run_block(args); }

void tody_pack_s8_avx2(const tody_pack_s8 *args) { pack_rows(args); }
