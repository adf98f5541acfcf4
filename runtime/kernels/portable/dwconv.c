// dwconv.c - depthwise convolution: one filter per channel.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { LANES = 16 };  // channels summed side by side, for the compiler to keep in vector registers

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

// Channels [k, k + lanes) of pixel p. Inlined, so that the loops of a whole LANES have a constant length.
static inline __attribute__((always_inline)) void channels(const tody_dwconv_f32 *d, uint32_t p, uint32_t k, uint32_t lanes) {
    float sum[LANES] = {0};
    const float *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        for (uint32_t x = 0; x < d->width; x++, w += d->channels) {
            const float *a = d->a[((size_t)p * d->step + x) * d->height + y] + k;
            for (uint32_t j = 0; j < lanes; j++) sum[j] += a[j] * w[j];
        }
    }
    for (uint32_t j = 0; j < lanes; j++) {
        const float bias = d->bias ? d->bias[k + j] : 0.0f;
        const float addend = d->addend ? d->addend[p * d->addend_stride + k + j] : 0.0f;
        d->c[p * d->c_stride + k + j] = clamp(sum[j] + bias + addend, d->lo, d->hi);
    }
}

void tody_portable_dwconv_f32(const tody_dwconv_f32 *args) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        uint32_t k = 0;
        for (; k + LANES <= args->channels; k += LANES) channels(args, p, k, LANES);
        if (k < args->channels) channels(args, p, k, args->channels - k);
    }
}
