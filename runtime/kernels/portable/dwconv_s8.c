// dwconv_s8.c - depthwise convolution of int8: the definition, in integers modulo 2^32.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { LANES = 16 };  // channels summed side by side, for the compiler to keep in vector registers

// Channels [k, k + lanes) of pixel p. Inlined, so that the loops of a whole LANES have a constant length.
static inline __attribute__((always_inline)) void channels(const tody_dwconv_s8 *d, uint32_t p, uint32_t k, uint32_t lanes) {
    uint32_t sum[LANES] = {0};
    const int8_t *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        for (uint32_t x = 0; x < d->width; x++, w += d->channels) {
            const int8_t *a = d->a[((size_t)p * d->step + x) * d->lines + y] + k;
            for (uint32_t j = 0; j < lanes; j++) sum[j] += (uint32_t)((a[j] - d->layer.x_zero) * w[j]);
        }
    }
    for (uint32_t j = 0; j < lanes; j++) {
        const int8_t *addend = d->addend ? d->addend + p * d->addend_stride + k + j : NULL;
        const uint32_t bias = d->bias ? (uint32_t)d->bias[k + j] : 0;
        d->c[p * d->c_stride + k + j] = tody_result_s8((int32_t)(sum[j] + bias), d->scale + k + j, addend, &d->layer);
    }
}

void tody_portable_dwconv_s8(const tody_dwconv_s8 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        uint32_t k = 0;
        for (; k + LANES <= args->channels; k += LANES) channels(args, p, k, LANES);
        if (k < args->channels) channels(args, p, k, args->channels - k);
    }
}
