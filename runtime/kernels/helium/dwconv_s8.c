// dwconv_s8.c - depthwise convolution of int8 by Helium: eight channels in a vector, pixel by pixel.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "windows.h"

enum { CHANNELS = TODY_WINDOW_CHANNELS, BLOCKS = 4 };
_Static_assert(BLOCKS * sizeof(tody_filter_helium) <= 384 + 768, "tody_dwconv_work");

// Of eight channels: those with an even number, and those with an odd one.
typedef struct both {
    int32x4_t even, odd;
} both;

// What the channels of a block share for all pixels. Values behind the last channel are 0.
typedef struct block {
    uint32_t k;
    mve_pred16_t there;
    int32x4x2_t bias;
    float32x4x2_t scale, slope;
} block;

static block block_of(const tody_dwconv_s8 *d, uint32_t k) {
    const uint32_t left = d->channels - k, count = left < CHANNELS ? left : CHANNELS;
    int32_t bias[CHANNELS] = {0};
    float scale[CHANNELS] = {0}, slope[CHANNELS] = {0};
    for (uint32_t j = 0; j < count; j++) {
        if (d->bias) bias[j] = d->bias[k + j];
        scale[j] = d->scale[k + j];
        slope[j] = d->scale[k + j + d->layer.slopes];
    }
    return (block){k, vctp16q(left), vld2q_s32(bias), vld2q_f32(scale), vld2q_f32(slope)};
}

// The sums of a window, column by column.
static inline both window(const tody_dwconv_s8 *d, const block *b, const int8_t *const *x) {
    both s = {b->bias.val[0], b->bias.val[1]};
    for (uint32_t j = 0; j < d->width; j++, x += d->lines) {
        const int8_t *w = d->w + (size_t)j * d->channels + b->k;
        for (uint32_t i = 0; i < d->height; i++, w += (size_t)d->width * d->channels) {
            const int16x8_t value = vsubq_n_s16(vldrbq_z_s16(x[i] + b->k, b->there), (int16_t)d->layer.x_zero);
            const int16x8_t weight = vldrbq_z_s16(w, b->there);
            s.even = vaddq_s32(s.even, vmullbq_int_s16(value, weight));
            s.odd = vaddq_s32(s.odd, vmulltq_int_s16(value, weight));
        }
    }
    return s;
}

// Pixel p, whose window begins at x.
static void pixel(const tody_dwconv_s8 *d, const block *b, const int8_t *const *x, uint32_t p, const tody_ends_helium *ends) {
    const both s = window(d, b, x);
    float32x4_t even = vmulq_f32(vcvtq_f32_s32(s.even), b->scale.val[0]);
    float32x4_t odd = vmulq_f32(vcvtq_f32_s32(s.odd), b->scale.val[1]);
    if (d->addend) {
        const int16x8_t addend = vldrbq_z_s16(d->addend + p * d->addend_stride + b->k, b->there);
        even = tody_add_helium(even, vmovlbq_s16(addend), &d->layer);
        odd = tody_add_helium(odd, vmovltq_s16(addend), &d->layer);
    }
    if (d->layer.slopes) {
        even = tody_leak_helium(even, b->slope.val[0]);
        odd = tody_leak_helium(odd, b->slope.val[1]);
    }
    const int16x8_t y = vmovnbq_s32(vdupq_n_s16(0), tody_end_helium(even, ends));
    vstrbq_p_s16(d->c + p * d->c_stride + b->k, vmovntq_s32(y, tody_end_helium(odd, ends)), b->there);
}

// The filters of 3x3 of eight channels, by columns as the pointers are. What x_zero adds to sums is taken off once for all.
static void take_filter(const tody_dwconv_s8 *d, uint32_t k, tody_filter_helium *f) {
    const size_t line = (size_t)3 * d->channels;
    int16_t *to = f->w[0];
    int16x8_t sum = vdupq_n_s16(0);
    for (uint32_t x = 0; x < 3; x++) {
        const int8_t *w = d->w + (size_t)x * d->channels + k;
        for (uint32_t y = 0; y < 3; y++, w += line, to += CHANNELS) {
            const int16x8_t tap = vldrbq_s16(w);
            vstrhq_s16(to, tap);
            sum = vaddq_s16(sum, tap);
        }
    }
    int32x4x2_t start = {{vdupq_n_s32(0), vdupq_n_s32(0)}};
    if (d->bias) start = vld2q_s32(d->bias + k);
    const float32x4x2_t scale = vld2q_f32(d->scale + k);
    vstrwq_s32(f->start[0], vmlaq_n_s32(start.val[0], vmovlbq_s16(sum), -d->layer.x_zero));
    vstrwq_s32(f->start[1], vmlaq_n_s32(start.val[1], vmovltq_s16(sum), -d->layer.x_zero));
    vstrwq_f32(f->scale[0], scale.val[0]);
    vstrwq_f32(f->scale[1], scale.val[1]);
}

// A row of windows of 3x3, of blocks of channels from k on.
static void run_row(const tody_dwconv_s8 *d, const tody_ends_helium *ends, uint32_t row, uint32_t k, uint32_t blocks) {
    const uint32_t column = d->lines * (uint32_t)sizeof *d->a;
    tody_windows_helium windows = {
        .x = d->a + (size_t)row * d->down,
        .x_step = d->step * column,
        .x_column = column,
        .k = k,
        .filters = d->work,
        .blocks = blocks,
        .c = d->c + (size_t)row * d->pixels * d->c_stride + k,
        .c_stride = (uint32_t)d->c_stride,
        .pixels = d->pixels,
        .zero = ends->zero,
        .lo = ends->lo,
        .hi = ends->hi,
    };
    tody_add_windows_helium(&windows);
}

// Windows of 3x3, of channels before `end`.
static void run_windows(const tody_dwconv_s8 *d, const tody_ends_helium *ends, uint32_t end) {
    tody_filter_helium *filters = d->work;
    for (uint32_t k = 0, blocks; k < end; k += blocks * CHANNELS) {
        blocks = (end - k) / CHANNELS < BLOCKS ? (end - k) / CHANNELS : BLOCKS;
        for (uint32_t i = 0; i < blocks; i++) take_filter(d, k + i * CHANNELS, filters + i);
        for (uint32_t row = 0; row < d->rows; row++) run_row(d, ends, row, k, blocks);
    }
}

void tody_dwconv_s8_helium(const tody_dwconv_s8 *d) {
    const tody_ends_helium ends = tody_ends_of_helium(&d->layer.finish);
    const bool small = d->width == 3 && d->height == 3 && tody_is_plain(d->addend, &d->layer);
    const uint32_t first = small ? d->channels / CHANNELS * CHANNELS : 0;
    run_windows(d, &ends, first);
    for (uint32_t k = first; k < d->channels; k += CHANNELS) {
        const block b = block_of(d, k);
        for (uint32_t p = 0; p < d->rows * d->pixels; p++) {
            pixel(d, &b, d->a + p / d->pixels * d->down + (size_t)(p % d->pixels) * d->step * d->lines, p, &ends);
        }
    }
}

#endif
