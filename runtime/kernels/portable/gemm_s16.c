// gemm_s16.c - int16 rows times one panel of 16 columns: the definition, in integers modulo 2^32.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

static void row(const tody_gemm_s16 *g, uint32_t i, uint32_t sum[TODY_PANEL_F32]) {
    const int16_t *w = g->w;
    for (uint32_t t = 0; t < g->taps; t++) {
        const int16_t *a = g->a[(size_t)t * g->rows + i];
        for (uint32_t k = 0; k < g->depth; k += 2, w += 2 * TODY_PANEL_F32) {
            const int32_t x = a[k], y = k + 1 < g->depth ? a[k + 1] : 0;
            for (uint32_t j = 0; j < TODY_PANEL_F32; j++) {
                sum[j] += (uint32_t)(x * w[2 * j]) + (uint32_t)(y * w[2 * j + 1]);
            }
        }
    }
}

void tody_portable_gemm_s16(const tody_gemm_s16 *g) {
    for (uint32_t i = 0; i < g->rows; i++) {
        uint32_t sum[TODY_PANEL_F32] = {0};
        row(g, i, sum);
        for (uint32_t j = 0; j < g->cols; j++) {
            const int16_t *addend = g->addend ? g->addend + i * g->addend_stride + j : NULL;
            const uint32_t bias = g->bias ? (uint32_t)g->bias[j] : 0;
            g->c[i * g->c_stride + j] = tody_result_s16((int32_t)(sum[j] + bias), g->scale + j, addend, &g->layer);
        }
    }
}
