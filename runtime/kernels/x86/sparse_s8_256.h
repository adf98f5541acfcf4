// sparse_s8_256.h - int8 product with weights in blocks: 8 rows in the lanes of a vector, up to 4 vectors at a time.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has vector_s8_avx2.h, FLIP, block, block_of and add_block.
#ifndef TODY_X86_SPARSE_S8_256_H
#define TODY_X86_SPARSE_S8_256_H

#include "kernels/sums_s8.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { ROWS = 32, LINE = ROWS * 4 };

static inline __m256i load_256(const void *x) { return _mm256_loadu_si256((const __m256i *)x); }
static inline void store_256(void *y, __m256i value) { _mm256_storeu_si256((__m256i *)y, value); }

// One output channel, `vectors` of rows.
INLINE void channel(const tody_sparse_s8 *g, uint32_t n, int32_t *sums, const uint32_t vectors) {
    __m256i s[4];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < vectors; v++) s[v] = g->more ? load_256(sums + 8 * v) : all_s32(g->start[n]);
    for (uint32_t b = g->starts[n]; b < g->starts[n + 1]; b++) {
        const int8_t *x = g->words + (size_t)g->places[b] * LINE;
        const block w = block_of(g->w + (size_t)b * 4);
#pragma GCC unroll 4
        for (uint32_t v = 0; v < vectors; v++) s[v] = add_block(s[v], load_256(x + 32 * v), w);
    }
#pragma GCC unroll 4
    for (uint32_t v = 0; v < vectors; v++) store_256(sums + 8 * v, s[v]);
}

// Up to eight rows of one channel.
static void finish_eight(const tody_sparse_s8 *g, uint32_t n, uint32_t row) {
    const tody_finish_s8 *f = &g->layer.finish;
    const uint32_t rows = g->rows - row < 8 ? g->rows - row : 8;
    int8_t added[16] = {0};
    int32_t result[8];
    for (uint32_t i = 0; g->addend && i < rows; i++) added[i] = g->addend[(row + i) * g->addend_stride + n];
    const __m256i sum = load_256(g->sums + (size_t)n * ROWS + row), scale = _mm256_castps_si256(all(g->scale[n]));
    const __m256i slope = _mm256_castps_si256(all(g->scale[n + g->layer.slopes]));
    const __m256i p =
        _mm256_max_epi32(result_s8(sum, scale, slope, g->addend, load_s8(added, 16), &g->layer), all_s32((int32_t)f->lo));
    store_256(result, add_s32(p, all_s32(f->zero)));
    for (uint32_t i = 0; i < rows; i++) g->c[(row + i) * g->c_stride + n] = (int8_t)result[i];
}

INLINE void run(const tody_sparse_s8 *g, const uint32_t vectors) {
    for (uint32_t n = 0; n < g->cols; n++) {
        channel(g, n, g->sums + (size_t)n * ROWS, vectors);
        for (uint32_t row = 0; g->c && row < g->rows; row += 8) finish_eight(g, n, row);
    }
}

INLINE void run_any(const tody_sparse_s8 *g) {
    switch ((g->rows + 7) / 8) {
        case 1: run(g, 1); break;
        case 2: run(g, 2); break;
        case 3: run(g, 3); break;
        default: run(g, 4); break;
    }
}

INLINE void gather(const tody_words_s8 *g) { tody_gather_words_s8(g, ROWS, FLIP); }

#endif
