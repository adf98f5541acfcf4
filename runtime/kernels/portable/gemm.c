// gemm.c - rows times one panel of 16 columns.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

// One row; the 16 sums are independent, so a compiler keeps them in vector registers.
static void row(const tody_gemm_f32 *g, uint32_t i) {
    float sum[TODY_PANEL_F32] = {0};
    const float *w = g->w;
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a = g->a[(size_t)t * g->rows + i];
        for (uint32_t k = 0; k < g->depth; k++, w += TODY_PANEL_F32) {
            for (uint32_t j = 0; j < TODY_PANEL_F32; j++) sum[j] += a[k] * w[j];
        }
    }
    for (uint32_t j = 0; j < g->cols; j++) {
        const float bias = g->bias ? g->bias[j] : 0.0f;
        const float addend = g->addend ? g->addend[i * g->addend_stride + j] : 0.0f;
        g->c[i * g->c_stride + j] = clamp(sum[j] + bias + addend, g->lo, g->hi);
    }
}

void tody_portable_gemm_f32(const tody_gemm_f32 *args) {
    for (uint32_t i = 0; i < args->rows; i++) row(args, i);
}
