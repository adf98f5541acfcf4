// sparse_s8.c - int8 product with weights in blocks: the definition, in integers modulo 2^32.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/sums_s8.h"
#include "portable.h"

enum { ROWS = 4, WORD = 4 };

void tody_portable_words_s8(const tody_words_s8 *args) { tody_gather_words_s8(args, ROWS, 0); }

static void channel(const tody_sparse_s8 *g, uint32_t j, int32_t *sums) {
    uint32_t sum[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) sum[i] = (uint32_t)(g->more ? sums[i] : g->start[j]);
    for (uint32_t b = g->starts[j]; b < g->starts[j + 1]; b++) {
        const int8_t *x = g->words + (size_t)g->places[b] * WORD * ROWS, *w = g->w + (size_t)b * WORD;
        for (uint32_t i = 0; i < g->rows; i++, x += WORD) {
            sum[i] += (uint32_t)(x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3]);
        }
    }
    for (uint32_t i = 0; i < ROWS; i++) sums[i] = (int32_t)sum[i];
}

void tody_portable_sparse_s8(const tody_sparse_s8 *g) {
    for (uint32_t j = 0; j < g->cols; j++) {
        int32_t *sums = g->sums + (size_t)j * ROWS;
        channel(g, j, sums);
        for (uint32_t i = 0; g->c && i < g->rows; i++) {
            const int8_t *addend = g->addend ? g->addend + i * g->addend_stride + j : NULL;
            g->c[i * g->c_stride + j] = tody_result_s8(sums[i], g->scale + j, addend, &g->layer);
        }
    }
}
