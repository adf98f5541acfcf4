// dwconv_s16.c - depthwise convolution of int16, up to four pixels by 8 channels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s16.h"

enum { PIXELS = 4, VECTOR = 8 };

INLINE sums add(sums s, const int16_t *x, size_t count, int16x8_t w) {
    const int16x8_t v = load_part_s16(x, count);
    return (sums){vmlal_s16(s.low, vget_low_s16(v), vget_low_s16(w)), add_high_s16(s.high, v, w)};
}

// bias as an array of 8, whatever is left of it.
INLINE void store(const tody_dwconv_s16 *d, size_t pixel, size_t k, const size_t count, sums s) {
    int32_t bias[VECTOR] = {0};
    if (d->bias) memcpy(bias, d->bias + k, count * sizeof *bias);
    s = add_sums(s, (sums){vld1q_s32(bias), vld1q_s32(bias + 4)});
    const int16_t *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
    const factors f = load_some_factors(d->scale + k, d->layer.slopes, count);
    finish_s16(d->c + pixel * d->c_stride + k, count, s, f, addend, &d->layer);
}

// Channels [k, k + count), at most 8, of one or four pixels.
INLINE void tile(const tody_dwconv_s16 *d, size_t pixel, const uint32_t pixels, size_t k, const size_t count) {
    const sums none = {vdupq_n_s32(0), vdupq_n_s32(0)};
    sums s0 = none, s1 = none, s2 = none, s3 = none;
    const size_t step = (size_t)d->step * d->height;
    const int16_t *w = d->w + k;
    for (uint32_t y = 0; y < d->height; y++) {
        const int16_t *const *a = d->a + pixel * step + y;
        for (uint32_t x = 0; x < d->width; x++, a += d->height, w += d->channels) {
            const int16x8_t by = load_part_s16(w, count);
            s0 = add(s0, a[0] + k, count, by);
            if (pixels > 1) s1 = add(s1, a[step] + k, count, by);
            if (pixels > 1) s2 = add(s2, a[2 * step] + k, count, by);
            if (pixels > 1) s3 = add(s3, a[3 * step] + k, count, by);
        }
    }
    store(d, pixel, k, count, s0);
    if (pixels > 1) store(d, pixel + 1, k, count, s1);
    if (pixels > 1) store(d, pixel + 2, k, count, s2);
    if (pixels > 1) store(d, pixel + 3, k, count, s3);
}

INLINE void strip(const tody_dwconv_s16 *d, size_t pixel, const uint32_t pixels) {
    size_t k = 0;
    for (; k + VECTOR <= d->channels; k += VECTOR) tile(d, pixel, pixels, k, VECTOR);
    if (k < d->channels) tile(d, pixel, pixels, k, d->channels - k);
}

void tody_dwconv_s16_neon(const tody_dwconv_s16 *args) {
    size_t pixel = 0;
    for (; pixel + PIXELS <= args->pixels; pixel += PIXELS) strip(args, pixel, PIXELS);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1);
}
