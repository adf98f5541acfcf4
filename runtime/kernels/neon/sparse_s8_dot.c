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

// Up to sixteen rows of one channel; s has their sums.
static void finish_channel(const tody_sparse_s8 *g, uint32_t n, uint32_t row, const int32_t *s) {
    const uint32_t rows = g->rows - row < 16 ? g->rows - row : 16;
    const ending e = ending_of(&g->layer);
    const float32x4_t scale = vdupq_n_f32(g->scale[n]), slope = vdupq_n_f32(g->scale[n + g->layer.slopes]);
    const factors f = {scale, scale, slope, slope};
    int8_t part[16] = {0};
    for (uint32_t i = 0; g->addend && i < rows; i++) part[i] = g->addend[(row + i) * g->addend_stride + n];
    const int8x8_t x = vld1_s8(part), y = vld1_s8(part + 8);
    const sums near = {vld1q_s32(s), vld1q_s32(s + 4)}, far = {vld1q_s32(s + 8), vld1q_s32(s + 12)};
    const int16x8_t a = scaled_s8(near, f, g->addend ? &x : NULL, &e), b = scaled_s8(far, f, g->addend ? &y : NULL, &e);
    vst1q_s8(part, results_s8(a, b, &e));
    for (uint32_t i = 0; i < rows; i++) g->c[(row + i) * g->c_stride + n] = part[i];
}

INLINE void run(const tody_sparse_s8 *g, const uint32_t vectors) {
    for (uint32_t n = 0; n < g->cols; n++) {
        int32_t *sums = g->sums + (size_t)n * ROWS;
        channel(g, n, sums, vectors);
        for (uint32_t row = 0; g->c && row < g->rows; row += 16) finish_channel(g, n, row, sums + row);
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
