// dwconv.c - depthwise convolution: one filter per channel.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { LANES = 16 };  // channels summed side by side, for the compiler to keep in vector registers

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

// Channels [k, k + lanes) of pixel p of row r. Inlined, so that the loops of a whole LANES have a constant length.
static inline __attribute__((always_inline)) void channels(const tody_dwconv_f32 *d, uint32_t r, uint32_t p, uint32_t k,
                                                           uint32_t lanes) {
    float sum[LANES] = {0};
    const float *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        const float *const *line = d->a + ((size_t)r * d->down + y) * d->a_stride + (size_t)p * d->step;
        for (uint32_t x = 0; x < d->width; x++, w += d->w_stride) {
            const float *a = line[x] + k;
            for (uint32_t j = 0; j < lanes; j++) sum[j] += a[j] * w[j];
        }
    }
    const float *addends = d->addend ? d->addend + r * d->addend_row + p * d->addend_stride + k : NULL;
    float *c = d->c + r * d->c_row + p * d->c_stride + k;
    for (uint32_t j = 0; j < lanes; j++) {
        const float bias = d->bias ? d->bias[k + j] : 0.0f, addend = addends ? addends[j] : 0.0f;
        c[j] = clamp(sum[j] + bias + addend, d->lo, d->hi);
    }
}

void tody_portable_dwconv_f32(const tody_dwconv_f32 *args) {
    for (uint32_t r = 0; r < args->rows; r++) {
        for (uint32_t p = 0; p < args->pixels; p++) {
            uint32_t k = 0;
            for (; k + LANES <= args->channels; k += LANES) channels(args, r, p, k, LANES);
            if (k < args->channels) channels(args, r, p, k, args->channels - k);
        }
    }
}
