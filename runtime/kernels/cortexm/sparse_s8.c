// sparse_s8.c - int8 rows times weights in blocks: each block that is not zero meets four rows.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"
#include "kernels/sums_s8.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"
#include "finish.h"

enum { ROWS = 4 };

void tody_words_s8_dsp(const tody_words_s8 *args) { tody_gather_words_s8(args, ROWS, 0); }

static inline int32_t four(int32_t sum, uint32_t word, int16x2_t even, int16x2_t odd) {
    return __smlad(tody_odd(word), odd, __smlad(tody_even(word), even, sum));
}

// Words that no row has are added to sums that nobody asks for.
static void channel(const tody_sparse_s8 *g, uint32_t j, int32_t sums[ROWS]) {
    const int32_t start = g->start[j];
    int32_t a = start, b = start, c = start, d = start;
    if (g->more) a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    const uint8_t *place = g->places + g->starts[j], *end = g->places + g->starts[j + 1];
    const int8_t *w = g->w + (size_t)g->starts[j] * 4;
    for (; place < end; place++, w += 4) {
        const int8_t *x = g->words + (size_t)*place * 4 * ROWS;
        const uint32_t by = tody_word(w), x0 = tody_word(x), x1 = tody_word(x + 4), x2 = tody_word(x + 8),
                       x3 = tody_word(x + 12);
        const int16x2_t even = tody_even(by), odd = tody_odd(by);
        a = four(a, x0, even, odd);
        b = four(b, x1, even, odd);
        c = four(c, x2, even, odd);
        d = four(d, x3, even, odd);
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

void tody_sparse_s8_dsp(const tody_sparse_s8 *g) {
    for (uint32_t j = 0; j < g->cols; j++) channel(g, j, g->sums + (size_t)j * ROWS);
    if (!g->c) return;
    const tody_finish_dsp finish = {g->rows,   g->cols,          g->sums, false,       g->scale,
                                    g->addend, g->addend_stride, g->c,    g->c_stride, &g->layer};
    tody_finish_sums_dsp(&finish);
}

#endif
