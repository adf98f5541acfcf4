// pool.c - largest value and scaled sum of gathered pixels.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { LANES = 16 };  // channels side by side, for the compiler to keep in vector registers

// Channels [k, k + lanes) of one pixel. Inlined, so that the loops of a whole LANES have a constant length.
static inline __attribute__((always_inline)) void largest(const float *const *a, uint32_t taps, uint32_t k, float *c,
                                                          uint32_t lanes) {
    float most[LANES];
    for (uint32_t j = 0; j < lanes; j++) most[j] = a[0][k + j];
    for (uint32_t t = 1; t < taps; t++) {
        const float *x = a[t] + k;
        for (uint32_t j = 0; j < lanes; j++) most[j] = x[j] > most[j] ? x[j] : most[j];
    }
    for (uint32_t j = 0; j < lanes; j++) c[k + j] = most[j];
}

static inline __attribute__((always_inline)) void sum(const float *const *a, uint32_t taps, float scale, uint32_t k, float *c,
                                                      uint32_t lanes) {
    float total[LANES] = {0};
    for (uint32_t t = 0; t < taps; t++) {
        const float *x = a[t] + k;
        for (uint32_t j = 0; j < lanes; j++) total[j] += x[j];
    }
    for (uint32_t j = 0; j < lanes; j++) c[k + j] = total[j] * scale;
}

void tody_portable_max_pool_f32(const tody_pool_f32 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        const float *const *a = args->a + (size_t)p * args->taps;
        float *c = args->c + p * args->c_stride;
        uint32_t k = 0;
        for (; k + LANES <= args->channels; k += LANES) largest(a, args->taps, k, c, LANES);
        if (k < args->channels) largest(a, args->taps, k, c, args->channels - k);
    }
}

void tody_portable_sum_pool_f32(const tody_pool_f32 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        const float *const *a = args->a + (size_t)p * args->taps;
        float *c = args->c + p * args->c_stride;
        uint32_t k = 0;
        for (; k + LANES <= args->channels; k += LANES) sum(a, args->taps, args->scale[p], k, c, LANES);
        if (k < args->channels) sum(a, args->taps, args->scale[p], k, c, args->channels - k);
    }
}
