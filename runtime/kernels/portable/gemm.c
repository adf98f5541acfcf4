// gemm.c - rows times one panel of 16 columns.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

static void store(const tody_gemm_f32 *g, uint32_t i, const float sum[TODY_PANEL_F32]) {
    for (uint32_t j = 0; j < g->cols; j++) {
        const float bias = g->bias ? g->bias[j] : 0.0f;
        const float addend = g->addend ? g->addend[i * g->addend_stride + j] : 0.0f;
        g->c[i * g->c_stride + j] = clamp(sum[j] + bias + addend, g->lo, g->hi);
    }
}

static const float *const *pointers(const tody_gemm_f32 *g, uint32_t i) { return g->a + i / g->rows * g->a_step + i % g->rows; }

// Rows i and `next`: two at a time, because each value of w then serves twice and the 32 sums fit any vector unit's registers.
static void rows(const tody_gemm_f32 *g, uint32_t i, uint32_t next) {
    float sum[TODY_PANEL_F32] = {0}, sum2[TODY_PANEL_F32] = {0};
    const float *w = g->w, *const *first = pointers(g, i), *const *second = pointers(g, next);
    for (uint32_t t = 0; t < g->taps; t++, first += g->rows, second += g->rows) {
        const float *a = *first, *a2 = *second;
        for (uint32_t k = 0; k < g->depth; k++, w += TODY_PANEL_F32) {
#pragma GCC unroll 1  // gcc -O3 unrolls before it vectorises, and then cannot: four times slower
            for (uint32_t j = 0; j < TODY_PANEL_F32; j++) {
                sum[j] += a[k] * w[j];
                sum2[j] += a2[k] * w[j];
            }
        }
    }
    store(g, i, sum);
    if (next != i) store(g, next, sum2);
}

void tody_portable_gemm_f32(const tody_gemm_f32 *args) {
    const uint32_t count = (args->more + 1) * args->rows;
    for (uint32_t i = 0; i < count; i += 2) rows(args, i, i + 1 < count ? i + 1 : i);
}
