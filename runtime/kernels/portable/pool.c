// pool.c - largest value and scaled sum of gathered pixels.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

void tody_portable_max_pool_f32(const tody_pool_f32 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        const float *const *a = args->a + (size_t)p * args->taps;
        float *c = args->c + p * args->c_stride;
        for (uint32_t k = 0; k < args->channels; k++) c[k] = a[0][k];
        for (uint32_t t = 1; t < args->taps; t++) {
            for (uint32_t k = 0; k < args->channels; k++) c[k] = a[t][k] > c[k] ? a[t][k] : c[k];
        }
    }
}

void tody_portable_sum_pool_f32(const tody_pool_f32 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        const float *const *a = args->a + (size_t)p * args->taps;
        float *c = args->c + p * args->c_stride;
        for (uint32_t k = 0; k < args->channels; k++) c[k] = a[0][k];
        for (uint32_t t = 1; t < args->taps; t++) {
            for (uint32_t k = 0; k < args->channels; k++) c[k] += a[t][k];
        }
        for (uint32_t k = 0; k < args->channels; k++) c[k] *= args->scale[p];
    }
}
