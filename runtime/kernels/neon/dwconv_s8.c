// dwconv_s8.c - depthwise convolution of int8: two pixels by 8 channels at a time, so that each weight is widened for two.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

// 8 channels, of which the first `count` are there.
INLINE int8x8_t load(const int8_t *x, size_t count) {
    int8_t part[8] = {0};
    if (count >= 8) return vld1_s8(x);
    memcpy(part, x, count);
    return vld1_s8(part);
}

INLINE sums add(sums s, const int8_t *x, const size_t count, int8x8_t zero, int16x8_t w) {
    const int16x8_t wide = vsubl_s8(load(x, count), zero);
    s.low = vmlal_s16(s.low, vget_low_s16(wide), vget_low_s16(w));
    s.high = vmlal_s16(s.high, vget_high_s16(wide), vget_high_s16(w));
    return s;
}

// bias and scale as arrays of 8, whatever is left of them.
INLINE void store(const tody_dwconv_s8 *d, size_t pixel, size_t k, const size_t count, sums s) {
    int32_t bias[8] = {0};
    float scale[8] = {0};
    const int8_t *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
    const float *multipliers = d->scale + k;
    if (d->bias) memcpy(bias, d->bias + k, count * sizeof *bias);
    if (count < 8) multipliers = memcpy(scale, multipliers, count * sizeof *scale);
    s.low = vaddq_s32(s.low, vld1q_s32(bias));
    s.high = vaddq_s32(s.high, vld1q_s32(bias + 4));
    finish_s8(d->c + pixel * d->c_stride + k, count, s, multipliers, addend, &d->layer);
}

// Channels [k, k + count), at most 8, of one or two pixels.
INLINE void tile(const tody_dwconv_s8 *d, size_t pixel, const uint32_t pixels, size_t k, const size_t count) {
    const int8x8_t zero = vdup_n_s8((int8_t)d->layer.x_zero);
    sums s0 = {vdupq_n_s32(0), vdupq_n_s32(0)}, s1 = s0;
    const size_t step = (size_t)d->step * d->height;
    const int8_t *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        const int8_t *const *a = d->a + pixel * step + y;
        for (uint32_t x = 0; x < d->width; x++, a += d->height, w += d->channels) {
            const int16x8_t wide = vmovl_s8(load(w, count));
            s0 = add(s0, a[0] + k, count, zero, wide);
            if (pixels > 1) s1 = add(s1, a[step] + k, count, zero, wide);
        }
    }
    store(d, pixel, k, count, s0);
    if (pixels > 1) store(d, pixel + 1, k, count, s1);
}

INLINE void strip(const tody_dwconv_s8 *d, size_t pixel, const uint32_t pixels) {
    size_t k = 0;
    for (; k + 8 <= d->channels; k += 8) tile(d, pixel, pixels, k, 8);
    if (k < d->channels) tile(d, pixel, pixels, k, d->channels - k);
}

void tody_dwconv_s8_neon(const tody_dwconv_s8 *args) {
    size_t pixel = 0;
    for (; pixel + 2 <= args->pixels; pixel += 2) strip(args, pixel, 2);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1);
}
