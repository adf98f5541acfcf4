// sums_s8.h - what int8 products of several sets share.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_SUMS_S8_H
#define TODY_KERNELS_SUMS_S8_H

#include "core/kernels.h"

// What a w_zero adds to the sums of row i: -w_zero * sum of (a - x_zero).
static inline int32_t tody_row_start_s8(const tody_gemm_s8 *g, uint32_t i) {
    if (g->layer.w_zero == 0) return 0;
    uint32_t sum = 0;
    for (uint32_t t = 0; t < g->taps; t++) {
        const int8_t *a = g->a[(size_t)t * g->rows + i];
        for (uint32_t k = 0; k < g->depth; k++) sum += (uint32_t)(a[k] - g->layer.x_zero);
    }
    return (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
}

// The words of a tile of `tile` rows, with `flip` exclusive-ored to each value: 0x80 adds 128 to it.
static inline void tody_gather_words_s8(const tody_words_s8 *g, uint32_t tile, uint8_t flip) {
    const uint32_t left = g->count % 4, flips = flip * 0x01010101u;
    for (uint32_t i = 0; i < g->rows; i++) {
        const int8_t *a = g->a[i] + g->first, *end = a + (g->count - left);
        int8_t *to = g->words + (size_t)i * 4;
        uint32_t word;
        for (; a < end; a += 4, to += (size_t)tile * 4) {
            memcpy(&word, a, sizeof word);
            word ^= flips;
            memcpy(to, &word, sizeof word);
        }
        for (uint32_t k = 0; left && k < 4; k++) to[k] = (int8_t)((uint8_t)(k < left ? a[k] : g->x_zero) ^ flip);
    }
}

#endif
