// norm.c - moments of columns, and what makes mean and variance what a norm wants them to be.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { LANES = 16 };  // channels side by side, for the compiler to keep in vector registers

#define INLINE static inline __attribute__((always_inline))  // `lanes` is a constant after inlining where it is LANES

INLINE void moments(const tody_columns_f32 *c, uint32_t k, uint32_t lanes) {
    float sum[LANES] = {0}, square[LANES] = {0};
    for (uint32_t r = 0; r < c->rows; r++) {
        const float *x = c->x + r * c->stride + k;
        for (uint32_t j = 0; j < lanes; j++) {
            const float d = x[j] - (c->mean ? c->mean[k + j] : 0.0f);
            sum[j] += d;
            square[j] += d * d;
        }
    }
    for (uint32_t j = 0; j < lanes; j++) c->sum[k + j] = sum[j];
    for (uint32_t j = 0; j < lanes; j++) c->square[k + j] = square[j];
}

void tody_portable_column_moments_f32(const tody_columns_f32 *args) {
    uint32_t k = 0;
    for (; k + LANES <= args->channels; k += LANES) moments(args, k, LANES);
    if (k < args->channels) moments(args, k, args->channels - k);
}

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

void tody_portable_norm_f32(const tody_norm_f32 *args) {
    for (uint32_t r = 0; r < args->rows; r++) {
        const float *x = args->x + r * args->stride;
        float *y = args->y + r * args->stride;
        for (uint32_t k = 0; k < args->channels; k++) {
            const float scale = args->scale ? args->scale[k] : 1.0f, bias = args->bias ? args->bias[k] : 0.0f;
            const float v = (x[k] - args->mean[k * args->step]) * args->factor[k * args->step];
            y[k] = clamp(v * scale + bias, args->lo, args->hi);
        }
    }
}
