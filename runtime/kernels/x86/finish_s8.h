// finish_s8.h - the end of an int8 product: from sums to bytes. The including file has a vector_s8_*.h and load_scale.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_FINISH_S8_H
#define TODY_X86_FINISH_S8_H

#include "kernels/sums_s8.h"

// To each row of `s`, which is changed, belongs `start`. Not inlined: one copy serves all tiles.
static __attribute__((noinline)) void finish_rows(const tody_gemm_s8 *g, sums *s, const sums *start) {
    const sums scale = load_scale(g), from = *start;
    const tody_layer_s8 layer = g->layer;
    const int8_t *addend = g->addend;
    int8_t *c = g->c;
    for (uint32_t i = 0; layer.w_zero && i < g->rows; i++) {
        const integers row = all_s32(tody_row_start_s8(g, i));
        s[i] = (sums){add_s32(s[i].low, row), add_s32(s[i].high, row)};
    }
    for (uint32_t i = 0; i < g->rows; i++, c += g->c_stride) {
        const sums all = {add_s32(s[i].low, from.low), add_s32(s[i].high, from.high)};
        finish_s8(c, g->cols, all, scale, addend, &layer);
        if (addend) addend += g->addend_stride;
    }
}

#endif
