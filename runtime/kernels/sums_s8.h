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

#endif
