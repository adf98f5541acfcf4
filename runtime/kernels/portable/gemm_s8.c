// gemm_s8.c - int8 rows times one panel of 16 columns: the definition, in integers modulo 2^32.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

// Four values of depth, of which the first `count` are there: less the zero point, and 0 for the others.
static inline void four(const int8_t *a, uint32_t count, int32_t zero, int32_t x[4]) {
    for (uint32_t k = 0; k < 4; k++) x[k] = k < count ? a[k] - zero : 0;
}

static void row(const tody_gemm_s8 *g, uint32_t i, uint32_t sum[TODY_PANEL_F32]) {
    const int32_t w_zero = g->layer.w_zero;
    const int8_t *w = g->w;
    for (uint32_t t = 0; t < g->taps; t++) {
        const int8_t *a = g->a[(size_t)t * g->rows + i];
        for (uint32_t k = 0; k < g->depth; k += 4, w += 4 * TODY_PANEL_F32) {
            int32_t x[4];
            four(a + k, g->depth - k, g->layer.x_zero, x);
            for (uint32_t j = 0; j < TODY_PANEL_F32; j++) {
                const int8_t *v = w + 4 * j;
                sum[j] += (uint32_t)(x[0] * (v[0] - w_zero) + x[1] * (v[1] - w_zero) + x[2] * (v[2] - w_zero) +
                                     x[3] * (v[3] - w_zero));
            }
        }
    }
}

void tody_portable_gemm_s8(const tody_gemm_s8 *g) {
    for (uint32_t i = 0; i < g->rows; i++) {
        uint32_t sum[TODY_PANEL_F32] = {0};
        row(g, i, sum);
        for (uint32_t j = 0; j < g->cols; j++) {
            const int8_t *addend = g->addend ? g->addend + i * g->addend_stride + j : NULL;
            const uint32_t bias = g->bias ? (uint32_t)g->bias[j] : 0;
            g->c[i * g->c_stride + j] = tody_result_s8((int32_t)(sum[j] + bias), g->scale + j, addend, &g->layer);
        }
    }
}
