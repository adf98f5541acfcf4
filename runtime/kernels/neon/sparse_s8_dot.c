// sparse_s8_dot.c - int8 product with weights in blocks by dot product instructions: 4 rows in the lanes of 8 vectors.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

#if defined(__ARM_FEATURE_DOTPROD)

enum { ROWS = 32, LINE = ROWS * 4 };

// One output channel, 4 * `vectors` rows.
INLINE void channel(const tody_sparse_s8 *g, uint32_t n, int32_t *sums, const uint32_t vectors) {
    int32x4_t s[8];
#pragma GCC unroll 8
    for (uint32_t v = 0; v < vectors; v++) s[v] = g->more ? vld1q_s32(sums + 4 * v) : vdupq_n_s32(g->start[n]);
    for (uint32_t b = g->starts[n]; b < g->starts[n + 1]; b++) {
        const int8_t *x = g->words + (size_t)g->places[b] * LINE;
        int32_t word;
        memcpy(&word, g->w + (size_t)b * 4, sizeof word);
        const int8x16_t w = vreinterpretq_s8_s32(vdupq_n_s32(word));
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vectors; v++) s[v] = vdotq_s32(s[v], vld1q_s8(x + 16 * v), w);
    }
#pragma GCC unroll 8
    for (uint32_t v = 0; v < vectors; v++) vst1q_s32(sums + 4 * v, s[v]);
}

// Up to eight rows of one channel.
static void finish_eight(const tody_sparse_s8 *g, uint32_t n, uint32_t row) {
    const uint32_t rows = g->rows - row < 8 ? g->rows - row : 8;
    const int32_t *sum = g->sums + (size_t)n * ROWS + row;
    int8_t part[8] = {0};
    float scale[8];
    for (uint32_t i = 0; i < 8; i++) scale[i] = g->scale[n];
    for (uint32_t i = 0; g->addend && i < rows; i++) part[i] = g->addend[(row + i) * g->addend_stride + n];
    vst1_s8(part, results_s8((sums){vld1q_s32(sum), vld1q_s32(sum + 4)}, scale, g->addend ? part : NULL, &g->layer));
    for (uint32_t i = 0; i < rows; i++) g->c[(row + i) * g->c_stride + n] = part[i];
}

INLINE void run(const tody_sparse_s8 *g, const uint32_t vectors) {
    for (uint32_t n = 0; n < g->cols; n++) {
        channel(g, n, g->sums + (size_t)n * ROWS, vectors);
        for (uint32_t row = 0; g->c && row < g->rows; row += 8) finish_eight(g, n, row);
    }
}

void tody_words_s8_neon_dot(const tody_words_s8 *args) { tody_gather_words_s8(args, ROWS, 0); }

void tody_sparse_s8_neon_dot(const tody_sparse_s8 *args) {
    if (args->rows <= 8)
        run(args, 2);
    else if (args->rows <= 16)
        run(args, 4);
    else
        run(args, 8);
}

#endif
