// dwconv_s8_dot.c - depthwise convolution of int8 by dot product instructions: windows of 3 by 3, 16 channels at a time.
// SPDX-License-Identifier: Apache-2.0
//
// The three values of a channel in a column of the window stand in one lane of 32 bits. A column is brought into this form once
// and kept while it moves through the windows of neighbours.
#include "neon_s8.h"

#if defined(__ARM_FEATURE_DOTPROD)

enum { EDGE = 3, VECTOR = 16 };

// 16 channels of a column, four in each vector.
typedef struct column {
    int8x16_t q0, q1, q2, q3;
} column;

// 16 sums.
typedef struct wide {
    sums low, high;
} wide;

// What a layer has for 16 channels.
typedef struct filter {
    column w0, w1, w2;
    wide start;
    factors low, high;
    ending ending;
} filter;

INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s16(vzip1q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b)));
}

INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s16(vzip2q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b)));
}

INLINE column interleave(int8x16_t a, int8x16_t b, int8x16_t c, int8x16_t d) {
    const int8x16_t ab = vzip1q_s8(a, b), cd = vzip1q_s8(c, d), ab_high = vzip2q_s8(a, b), cd_high = vzip2q_s8(c, d);
    return (column){zip_low(ab, cd), zip_high(ab, cd), zip_low(ab_high, cd_high), zip_high(ab_high, cd_high)};
}

// The fourth value of a lane may be anything, since its weight is 0.
INLINE column load_column(const int8_t *const *a, size_t k) {
    const int8x16_t last = vld1q_s8(a[2] + k);
    return interleave(vld1q_s8(a[0] + k), vld1q_s8(a[1] + k), last, last);
}

INLINE wide add_column(wide s, column x, column w) {
    s.low = (sums){vdotq_s32(s.low.low, x.q0, w.q0), vdotq_s32(s.low.high, x.q1, w.q1)};
    s.high = (sums){vdotq_s32(s.high.low, x.q2, w.q2), vdotq_s32(s.high.high, x.q3, w.q3)};
    return s;
}

INLINE column load_weights(const tody_dwconv_s8 *d, size_t x, size_t k) {
    const int8_t *w = d->w + x * d->channels + k;
    const size_t line = (size_t)EDGE * d->channels;
    return interleave(vld1q_s8(w), vld1q_s8(w + line), vld1q_s8(w + 2 * line), vdupq_n_s8(0));
}

// start = bias - x_zero * (sum of the weights)
static filter filter_of(const tody_dwconv_s8 *d, size_t k) {
    filter f = {.w0 = load_weights(d, 0, k), .w1 = load_weights(d, 1, k), .w2 = load_weights(d, 2, k)};
    const int8x16_t one = vdupq_n_s8(1);
    const int32x4_t none = vdupq_n_s32(0), x_zero = vdupq_n_s32(d->layer.x_zero);
    const column ones = {one, one, one, one};
    const wide zero = {{none, none}, {none, none}};
    const wide all = add_column(add_column(add_column(zero, ones, f.w0), ones, f.w1), ones, f.w2);
    wide b = zero;
    if (d->bias) {
        b.low = (sums){vld1q_s32(d->bias + k), vld1q_s32(d->bias + k + 4)};
        b.high = (sums){vld1q_s32(d->bias + k + 8), vld1q_s32(d->bias + k + 12)};
    }
    f.start.low = (sums){vmlsq_s32(b.low.low, all.low.low, x_zero), vmlsq_s32(b.low.high, all.low.high, x_zero)};
    f.start.high = (sums){vmlsq_s32(b.high.low, all.high.low, x_zero), vmlsq_s32(b.high.high, all.high.high, x_zero)};
    f.low = load_factors(d->scale + k, d->layer.slopes);
    f.high = load_factors(d->scale + k + 8, d->layer.slopes);
    f.ending = ending_of(&d->layer);
    return f;
}

// One pixel of three columns.
INLINE void put(int8_t *c, const int8_t *addend, column x0, column x1, column x2, const filter *f) {
    const wide s = add_column(add_column(add_column(f->start, x0, f->w0), x1, f->w1), x2, f->w2);
    int8x8_t near = vdup_n_s8(0), far = near;
    if (addend) {
        near = vld1_s8(addend);
        far = vld1_s8(addend + 8);
    }
    const int16x8_t low = scaled_s8(s.low, f->low, addend ? &near : NULL, &f->ending);
    const int16x8_t high = scaled_s8(s.high, f->high, addend ? &far : NULL, &f->ending);
    vst1q_s8(c, results_s8(low, high, &f->ending));
}

// Windows that lie a column apart, of plain layers; three at a time need no column to move to other registers.
static void strip_close(const tody_dwconv_s8 *d, size_t k) {
    filter f = filter_of(d, k);
    f.ending = ending_where(f.ending, true);
    const int8_t *const *a = d->a, *const *end = a + (size_t)d->pixels * EDGE;
    const size_t stride = d->c_stride;
    int8_t *c = d->c + k;
    column x0 = load_column(a, k), x1 = load_column(a + EDGE, k), x2;
    for (a += 2 * EDGE, end += 2 * EDGE; a + 3 * EDGE <= end; a += 3 * EDGE, c += 3 * stride) {
        x2 = load_column(a, k);
        put(c, NULL, x0, x1, x2, &f);
        x0 = load_column(a + EDGE, k);
        put(c + stride, NULL, x1, x2, x0, &f);
        x1 = load_column(a + 2 * EDGE, k);
        put(c + 2 * stride, NULL, x2, x0, x1, &f);
    }
    for (; a < end; a += EDGE, c += stride) {
        x2 = load_column(a, k);
        put(c, NULL, x0, x1, x2, &f);
        x0 = x1;
        x1 = x2;
    }
}

// Any others: windows that lie two columns apart have one of them in common.
static void strip(const tody_dwconv_s8 *d, size_t k) {
    const filter f = filter_of(d, k);
    const size_t step = d->step;
    const int8_t *const *a = d->a;
    column x0 = load_column(a, k);
    for (uint32_t p = 0; p < d->pixels; p++, a += step * EDGE) {
        if (p > 0 && step != 2) x0 = load_column(a, k);
        const column x1 = load_column(a + EDGE, k), x2 = load_column(a + 2 * EDGE, k);
        put(d->c + p * d->c_stride + k, d->addend ? d->addend + p * d->addend_stride + k : NULL, x0, x1, x2, &f);
        x0 = x2;
    }
}

// The last 16 channels may be some that are done already: not where an addend could be overwritten.
void tody_dwconv_s8_neon_dot(const tody_dwconv_s8 *args) {
    const size_t channels = args->channels;
    const bool whole = channels % VECTOR == 0 || (channels > VECTOR && !args->addend);
    if (args->height != EDGE || args->width != EDGE || !whole) {
        tody_dwconv_s8_neon(args);
        return;
    }
    for (size_t k = 0; k < channels; k += VECTOR) {
        const size_t from = k + VECTOR <= channels ? k : channels - VECTOR;
        if (args->step == 1 && tody_is_plain(args->addend, &args->layer))
            strip_close(args, from);
        else
            strip(args, from);
    }
}

#endif
