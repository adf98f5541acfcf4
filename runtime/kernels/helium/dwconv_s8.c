// dwconv_s8.c - depthwise convolution of int8 by Helium: eight channels in a vector, pixel by pixel.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)

enum { CHANNELS = 8 };

// Of eight channels: those with an even number, and those with an odd one.
typedef struct both {
    int32x4_t even, odd;
} both;

// What the channels of a block share for all pixels. Values behind the last channel are 0.
typedef struct block {
    uint32_t k;
    mve_pred16_t there;
    int32x4x2_t bias;
    float32x4x2_t scale;
} block;

static block block_of(const tody_dwconv_s8 *d, uint32_t k) {
    const uint32_t left = d->channels - k, count = left < CHANNELS ? left : CHANNELS;
    int32_t bias[CHANNELS] = {0};
    float scale[CHANNELS] = {0};
    for (uint32_t j = 0; j < count; j++) {
        if (d->bias) bias[j] = d->bias[k + j];
        scale[j] = d->scale[k + j];
    }
    return (block){k, vctp16q(left), vld2q_s32(bias), vld2q_f32(scale)};
}

static inline both window(const tody_dwconv_s8 *d, const block *b, const int8_t *const *x) {
    both s = {b->bias.val[0], b->bias.val[1]};
    for (uint32_t j = 0; j < d->width; j++) {
        const int8_t *w = d->w + (size_t)j * d->channels + b->k;
        for (uint32_t i = 0; i < d->height; i++, w += (size_t)d->width * d->channels) {
            const int16x8_t value = vsubq_n_s16(vldrbq_z_s16(*x++ + b->k, b->there), (int16_t)d->layer.x_zero);
            const int16x8_t weight = vldrbq_z_s16(w, b->there);
            s.even = vaddq_s32(s.even, vmullbq_int_s16(value, weight));
            s.odd = vaddq_s32(s.odd, vmulltq_int_s16(value, weight));
        }
    }
    return s;
}

static void pixel(const tody_dwconv_s8 *d, const block *b, uint32_t p, const tody_ends_helium *ends) {
    const both s = window(d, b, d->a + (size_t)p * d->step * d->height);
    float32x4_t even = vmulq_f32(vcvtq_f32_s32(s.even), b->scale.val[0]);
    float32x4_t odd = vmulq_f32(vcvtq_f32_s32(s.odd), b->scale.val[1]);
    if (d->addend) {
        const int16x8_t addend = vldrbq_z_s16(d->addend + p * d->addend_stride + b->k, b->there);
        even = vaddq_f32(even, tody_addend_helium(vmovlbq_s16(addend), ends));
        odd = vaddq_f32(odd, tody_addend_helium(vmovltq_s16(addend), ends));
    }
    const int16x8_t y = vmovnbq_s32(vdupq_n_s16(0), tody_end_helium(even, ends));
    vstrbq_p_s16(d->c + p * d->c_stride + b->k, vmovntq_s32(y, tody_end_helium(odd, ends)), b->there);
}

void tody_dwconv_s8_helium(const tody_dwconv_s8 *d) {
    const tody_ends_helium ends = tody_ends_of_helium(&d->layer);
    for (uint32_t k = 0; k < d->channels; k += CHANNELS) {
        const block b = block_of(d, k);
        for (uint32_t p = 0; p < d->pixels; p++) pixel(d, &b, p, &ends);
    }
}

#endif
