// dwconv_s8.c - depthwise convolution of int8, 16 channels at a time. Windows of 3 by 3 keep them in registers while the
// pixels of a row go by; others go two pixels by 8 channels at a time, so that each weight is widened for two.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: two products fit int16 if no weight is -128, as in gemm_s8.c. The zero point goes through the sums of the weights
// there.
#include "neon_s8.h"

INLINE sums add(sums s, const int8_t *x, const size_t count, int8x8_t zero, int16x8_t w) {
    const int16x8_t wide = vsubl_s8(load_part_s8(x, count), zero);
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
    int8x8_t added = vdup_n_s8(0);
    if (addend) added = load_part_s8(addend, count);
    const ending e = ending_of(&d->layer);
    const int16x8_t y = scaled_s8(s, load_factors(multipliers), addend ? &added : NULL, &e);
    store_part_s8(d->c + pixel * d->c_stride + k, count, vget_low_s8(results_s8(y, y, &e)));
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
            const int16x8_t wide = vmovl_s8(load_part_s8(w, count));
            s0 = add(s0, a[0] + k, count, zero, wide);
            if (pixels > 1) s1 = add(s1, a[step] + k, count, zero, wide);
        }
    }
    store(d, pixel, k, count, s0);
    if (pixels > 1) store(d, pixel + 1, k, count, s1);
}

INLINE void strip(const tody_dwconv_s8 *d, size_t pixel, const uint32_t pixels, size_t first) {
    size_t k = first;
    for (; k + 8 <= d->channels; k += 8) tile(d, pixel, pixels, k, 8);
    if (k < d->channels) tile(d, pixel, pixels, k, d->channels - k);
}

#if defined(__aarch64__)

enum { TAPS = 9, VECTOR = 16 };

// 16 sums.
typedef struct wide {
    sums low, high;
} wide;

// 16 channels of the layer: the weights of nine taps, and what the sums begin with.
typedef struct nine {
    int8x16_t w[TAPS];
    wide start;
} nine;

INLINE wide add_narrow(wide s, int16x8_t low, int16x8_t high) {
    s.low.low = vaddw_s16(s.low.low, vget_low_s16(low));
    s.low.high = vaddw_high_s16(s.low.high, low);
    s.high.low = vaddw_s16(s.high.low, vget_low_s16(high));
    s.high.high = vaddw_high_s16(s.high.high, high);
    return s;
}

// Load nine, unless a weight is -128.
static bool load_nine(const tody_dwconv_s8 *d, size_t k, nine *n) {
    const int32x4_t zero = vdupq_n_s32(0);
    wide sum = {{zero, zero}, {zero, zero}};
    int8x16_t least = vdupq_n_s8(0);
    for (size_t t = 0; t < TAPS; t++) {
        n->w[t] = vld1q_s8(d->w + t * d->channels + k);
        least = vminq_s8(least, n->w[t]);
        sum = add_narrow(sum, vmovl_s8(vget_low_s8(n->w[t])), vmovl_high_s8(n->w[t]));
    }
    const int32_t *bias = d->bias ? d->bias + k : NULL;
    const int32x4_t x_zero = vdupq_n_s32(d->layer.x_zero);
    n->start.low.low = vmlsq_s32(bias ? vld1q_s32(bias) : zero, sum.low.low, x_zero);
    n->start.low.high = vmlsq_s32(bias ? vld1q_s32(bias + 4) : zero, sum.low.high, x_zero);
    n->start.high.low = vmlsq_s32(bias ? vld1q_s32(bias + 8) : zero, sum.high.low, x_zero);
    n->start.high.high = vmlsq_s32(bias ? vld1q_s32(bias + 12) : zero, sum.high.high, x_zero);
    return vminvq_s8(least) > -128;
}

// The products of tap t and of the next one.
INLINE wide add_two(wide s, const int8_t *a, const int8_t *b, int8x16_t v, int8x16_t w) {
    const int8x16_t x = vld1q_s8(a), y = vld1q_s8(b);
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(v)), high = vmull_high_s8(x, v);
    return add_narrow(s, vmlal_s8(low, vget_low_s8(y), vget_low_s8(w)), vmlal_high_s8(high, y, w));
}

// One pixel.
INLINE wide nine_taps(const int8_t *const *a, size_t k, const nine *n) {
    wide s = n->start;
#pragma GCC unroll 4
    for (uint32_t t = 0; t + 1 < TAPS; t += 2) {
        const uint32_t u = t + 1;
        s = add_two(s, a[t % 3 * 3 + t / 3] + k, a[u % 3 * 3 + u / 3] + k, n->w[t], n->w[u]);
    }
    const int8x16_t x = vld1q_s8(a[TAPS - 1] + k), w = n->w[TAPS - 1];
    return add_narrow(s, vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
}

// Channels [k, k + 16) of all pixels of windows of 3 by 3.
INLINE void strip_nine(const tody_dwconv_s8 *d, size_t k, const nine *of, const bool added) {
    const nine n = *of;
    const ending e = ending_of(&d->layer);
    const factors f_low = load_factors(d->scale + k), f_high = load_factors(d->scale + k + 8);
    const int8_t *const *a = d->a;
    const int8_t *addend = added ? d->addend + k : NULL;
    int8_t *c = d->c + k;
    for (uint32_t p = 0; p < d->pixels; p++, a += (size_t)d->step * 3, c += d->c_stride) {
        const wide s = nine_taps(a, k, &n);
        int8x8_t near = vdup_n_s8(0), far = near;
        if (added) {
            near = vld1_s8(addend);
            far = vld1_s8(addend + 8);
            addend += d->addend_stride;
        }
        const int16x8_t low = scaled_s8(s.low, f_low, added ? &near : NULL, &e);
        const int16x8_t high = scaled_s8(s.high, f_high, added ? &far : NULL, &e);
        vst1q_s8(c, results_s8(low, high, &e));
    }
}

// Does as many channels as it can, and returns how many. The last 16 may be some that are done already: not where an addend
// could have been overwritten.
static size_t strips_of_nine(const tody_dwconv_s8 *d) {
    const size_t channels = d->channels, whole = channels / VECTOR * VECTOR;
    const size_t end = d->addend || channels < VECTOR ? whole : channels;
    size_t k = 0;
    nine n;
    if (d->height != 3 || d->width != 3) return 0;
    for (; k < end; k += VECTOR) {
        const size_t from = k < whole ? k : channels - VECTOR;
        if (!load_nine(d, from, &n)) return k;
        if (d->addend)
            strip_nine(d, from, &n, true);
        else
            strip_nine(d, from, &n, false);
    }
    return end;
}

#else

static size_t strips_of_nine(const tody_dwconv_s8 *d) {
    (void)d;
    return 0;
}

#endif

void tody_dwconv_s8_neon(const tody_dwconv_s8 *args) {
    const size_t done = strips_of_nine(args);
    size_t pixel = 0;
    if (done == args->channels) return;
    for (; pixel + 2 <= args->pixels; pixel += 2) strip(args, pixel, 2, done);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1, done);
}
