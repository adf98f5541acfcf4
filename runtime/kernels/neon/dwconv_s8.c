// dwconv_s8.c - depthwise convolution of int8: 16 channels of a pixel at a time, or 8 of two pixels; what is left of both goes
// two pixels by 8 channels at a time, so that each weight is widened for two.
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

// bias as an array of 8, whatever is left of it.
INLINE void store(const tody_dwconv_s8 *d, size_t pixel, size_t k, const size_t count, sums s) {
    int32_t bias[8] = {0};
    const int8_t *addend = d->addend ? d->addend + pixel * d->addend_stride + k : NULL;
    if (d->bias) memcpy(bias, d->bias + k, count * sizeof *bias);
    const factors f = load_some_factors(d->scale + k, d->layer.slopes, count);
    s.low = vaddq_s32(s.low, vld1q_s32(bias));
    s.high = vaddq_s32(s.high, vld1q_s32(bias + 4));
    int8x8_t added = vdup_n_s8(0);
    if (addend) added = load_part_s8(addend, count);
    const ending e = ending_of(&d->layer);
    const int16x8_t y = scaled_s8(s, f, addend ? &added : NULL, &e);
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

enum { VECTOR = 16, MOST_TAPS = 64, NINE = 9 };

// 16 sums.
typedef struct wide {
    sums low, high;
} wide;

// What 16 channels of a layer have, or 8 twice: weights column by column, and what the sums begin with.
typedef struct filter {
    int8x16_t w[MOST_TAPS];
    wide start;
    factors low, high;
    ending ending;
} filter;

INLINE wide add_narrow(wide s, int16x8_t low, int16x8_t high) {
    s.low.low = vaddw_s16(s.low.low, vget_low_s16(low));
    s.low.high = vaddw_high_s16(s.low.high, low);
    s.high.low = vaddw_s16(s.high.low, vget_low_s16(high));
    s.high.high = vaddw_high_s16(s.high.high, high);
    return s;
}

// 16 values at a, or 8 there and 8 at b.
INLINE int8x16_t load_lanes(const int8_t *a, const int8_t *b, const bool pairs) {
    return pairs ? load_two_s8(a, b) : vld1q_s8(a);
}

// bias - x_zero * (sum of the weights), of four channels
INLINE int32x4_t start_of(const int32_t *bias, int32x4_t sum, int32x4_t x_zero) {
    return vmlsq_s32(bias ? vld1q_s32(bias) : vdupq_n_s32(0), sum, x_zero);
}

// False if a weight is -128.
static bool load_filter(const tody_dwconv_s8 *d, size_t k, const bool pairs, filter *f) {
    const int32x4_t none = vdupq_n_s32(0), x_zero = vdupq_n_s32(d->layer.x_zero);
    int16x8_t low = vdupq_n_s16(0), high = low;  // hold the sums of MOST_TAPS weights
    int8x16_t least = vdupq_n_s8(0), *to = f->w;
    const uint32_t height = d->height, width = d->width;
    const size_t next = d->channels, line = next * width;
    const int8_t *column = d->w + k;
    for (uint32_t x = 0; x < width; x++, column += next) {
        const int8_t *w = column;
        for (uint32_t y = 0; y < height; y++, w += line) {
            const int8x16_t one = load_lanes(w, w, pairs);
            least = vminq_s8(least, one);
            low = vaddw_s8(low, vget_low_s8(one));
            high = vaddw_high_s8(high, one);
            *to++ = one;
        }
    }
    const wide sum = add_narrow((wide){{none, none}, {none, none}}, low, high);
    const size_t more = pairs ? k : k + 8;
    const int32_t *near = d->bias ? d->bias + k : NULL, *far = d->bias ? d->bias + more : NULL;
    f->start.low = (sums){start_of(near, sum.low.low, x_zero), start_of(near ? near + 4 : NULL, sum.low.high, x_zero)};
    f->start.high = (sums){start_of(far, sum.high.low, x_zero), start_of(far ? far + 4 : NULL, sum.high.high, x_zero)};
    f->low = load_factors(d->scale + k, d->layer.slopes);
    f->high = load_factors(d->scale + more, d->layer.slopes);
    f->ending = ending_of(&d->layer);
    return vminvq_s8(least) > -128;
}

// The products of x and of y, which stand one tap apart.
INLINE wide add_two(wide s, int8x16_t x, int8x16_t y, const int8x16_t *w) {
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w[0])), high = vmull_high_s8(x, w[0]);
    return add_narrow(s, vmlal_s8(low, vget_low_s8(y), vget_low_s8(w[1])), vmlal_high_s8(high, y, w[1]));
}

// One pixel, or 8 channels of two whose windows begin at a and at b.
INLINE wide sum_taps(wide s, const int8_t *const *a, const int8_t *const *b, size_t k, const int8x16_t *w, const uint32_t taps,
                     const bool pairs) {
    uint32_t t = 0;
#pragma GCC unroll 4
    for (; t + 2 <= taps; t += 2) {
        const int8x16_t x = load_lanes(a[t] + k, b[t] + k, pairs), y = load_lanes(a[t + 1] + k, b[t + 1] + k, pairs);
        s = add_two(s, x, y, &w[t]);
    }
    if (t == taps) return s;
    const int8x16_t x = load_lanes(a[t] + k, b[t] + k, pairs), last = w[t];
    return add_narrow(s, vmull_s8(vget_low_s8(x), vget_low_s8(last)), vmull_high_s8(x, last));
}

// Channels [k, k + 16), or [k, k + 8) of an even number of pixels.
INLINE void channels(const tody_dwconv_s8 *d, size_t k, const filter *f, const uint32_t taps, const bool pairs,
                     const bool plain) {
    const wide start = f->start;
    const factors f_low = f->low, f_high = f->high;
    const ending e = ending_where(f->ending, plain);
    const bool added = !plain && d->addend;
    int8x16_t nine[NINE];  // stay in registers
    if (taps == NINE) memcpy(nine, f->w, sizeof nine);
    const int8x16_t *w = taps == NINE ? nine : f->w;
    const uint32_t some = pairs ? 2 : 1;
    const size_t step = (size_t)d->step * d->height, stride = d->c_stride, addend_stride = d->addend_stride;
    const int8_t *const *a = d->a;
    const int8_t *addend = added ? d->addend + k : NULL;
    int8_t *c = d->c + k;
    for (uint32_t p = 0, pixels = d->pixels; p < pixels; p += some, a += some * step, c += some * stride) {
        const wide s = sum_taps(start, a, a + step, k, w, taps, pairs);
        int8x8_t near = vdup_n_s8(0), far = near;
        if (added) {
            near = vld1_s8(addend);
            far = vld1_s8(pairs ? addend + addend_stride : addend + 8);
            addend += some * addend_stride;
        }
        const int16x8_t low = scaled_s8(s.low, f_low, added ? &near : NULL, &e);
        const int16x8_t high = scaled_s8(s.high, f_high, added ? &far : NULL, &e);
        const int8x16_t y = results_s8(low, high, &e);
        if (pairs) {
            vst1_s8(c, vget_low_s8(y));
            vst1_s8(c + stride, vget_high_s8(y));
        } else {
            vst1q_s8(c, y);
        }
    }
}

static void channels_of(const tody_dwconv_s8 *d, size_t k, const filter *f, const bool pairs) {
    const uint32_t taps = d->height * d->width;
    const bool plain = tody_is_plain(d->addend, &d->layer);
    if (pairs && plain)
        channels(d, k, f, taps, true, true);
    else if (pairs)
        channels(d, k, f, taps, true, false);
    else if (!plain)
        channels(d, k, f, taps, false, false);
    else if (taps == NINE)
        channels(d, k, f, NINE, false, true);
    else
        channels(d, k, f, taps, false, true);
}

// Does as many channels as it can, and returns how many. The last 16 may be some that are done already: not where an addend
// could have been overwritten.
static size_t whole_channels(const tody_dwconv_s8 *d) {
    const size_t channels = d->channels, whole = channels / VECTOR * VECTOR;
    const size_t end = d->addend || channels < VECTOR ? whole : channels;
    size_t k = 0;
    filter f;
    if ((uint64_t)d->height * d->width > MOST_TAPS) return 0;
    for (; k < end; k += VECTOR) {
        const size_t from = k < whole ? k : channels - VECTOR;
        if (!load_filter(d, from, false, &f)) return k;
        channels_of(d, from, &f, false);
    }
    if (channels - end < 8 || d->pixels % 2 || !load_filter(d, end, true, &f)) return end;
    channels_of(d, end, &f, true);
    return end + 8;
}

#else

static size_t whole_channels(const tody_dwconv_s8 *d) {
    (void)d;
    return 0;
}

#endif

void tody_dwconv_s8_neon(const tody_dwconv_s8 *args) {
    const size_t done = whole_channels(args);
    size_t pixel = 0;
    if (done == args->channels) return;
    for (; pixel + 2 <= args->pixels; pixel += 2) strip(args, pixel, 2, done);
    for (; pixel < args->pixels; pixel++) strip(args, pixel, 1, done);
}
