// dwconv_3x3.c - depthwise convolution of 3x3 on AArch64: strips of 4 pixels by 8 channels, whose weights stay in registers
// while the strips of all rows go by.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"
#include "schedule.h"

#if defined(__aarch64__)

// Constants after inlining are marked const. Products stand in the order in which they are written: 18 registers have weights,
// 8 sums, and compilers that move products about have to put some of them into memory.
#define INLINE static inline __attribute__((always_inline))

// GROUP: channels that go by while the strips of some rows stay in the first-level cache.
enum { STRIP = DWCONV_STRIP, TOGETHER = 8, GROUP = 64 };

// 8 channels.
typedef struct pair {
    float32x4_t low, high;
} pair;

typedef struct line {
    pair w0, w1, w2;
} line;

typedef struct strip {
    pair s0, s1, s2, s3;
} strip;

INLINE pair load_pair(const float *p) {
    pair v;
    load_pair_f32(p, 0, &v.low, &v.high);
    return v;
}

INLINE pair add_product(pair s, pair x, pair w) {
    s.low = add_product_f32(s.low, x.low, w.low);
    s.high = add_product_f32(s.high, x.high, w.high);
    return s;
}

// What column `at` of a window gives; none outside of it.
INLINE pair add_column(pair s, pair x, const line *l, const int at) {
    if (at == 0) s = add_product(s, x, l->w0);
    if (at == 1) s = add_product(s, x, l->w1);
    if (at == 2) s = add_product(s, x, l->w2);
    return s;
}

// How the pixels of a strip's lines lie in memory: anywhere; equally far from each other but for the first and the last of a
// line, which may be outside of the image; or all of them.
typedef enum layout { SCATTERED, BORDERED, NEIGHBOURS } layout;

// Bytes between the pixels of a line, if these are neighbours.
INLINE size_t stride_of(const float *const *a) { return (uintptr_t)a[2] - (uintptr_t)a[1]; }

static layout layout_of(const tody_dwconv_f32 *d, size_t pixel, const size_t last) {
    const float *const *a = d->a + pixel * d->step, *const *end = a + ((d->rows - 1) * (size_t)d->down + 3) * d->a_stride;
    uintptr_t border = 0, inner = 0;
    for (; a < end; a += d->a_stride) {
        const uintptr_t stride = stride_of(a);
        border |= ((uintptr_t)a[1] - (uintptr_t)a[0] - stride) | ((uintptr_t)a[last] - (uintptr_t)a[last - 1] - stride);
        for (size_t j = 3; j < last; j++) inner |= (uintptr_t)a[j] - (uintptr_t)a[j - 1] - stride;
    }
    return inner ? SCATTERED : border ? BORDERED : NEIGHBOURS;
}

// Pixel j of the last + 1 in a line, 8 channels from k on; `next` goes along the neighbours.
INLINE pair load_column(const float *const *a, const size_t k, const float **next, size_t stride, const int j, const int last,
                        const layout how) {
    pair v;
    if (how == SCATTERED || (how == BORDERED && (j == 0 || j == last))) return load_pair(a[j] + k);
    load_pixel_f32(next, stride, &v.low, &v.high, j % 2);
    return v;
}

// A line of the windows of a strip; each column is loaded while those before it are multiplied.
INLINE strip add_line(strip s, const float *const *a, const size_t k, const line *l, const int step, const layout how) {
    const int last = 3 * step + 2;
    const size_t stride = how == SCATTERED ? 0 : stride_of(a);
    const float *next = a[how == BORDERED] + k;
    pair x = load_column(a, k, &next, stride, 0, last, how);
#pragma GCC unroll 9
    for (int j = 0; j <= last; j++) {
        const pair after = j < last ? load_column(a, k, &next, stride, j + 1, last, how) : x;
        s.s0 = add_column(s.s0, x, l, j);
        s.s1 = add_column(s.s1, x, l, j - step);
        s.s2 = add_column(s.s2, x, l, j - 2 * step);
        s.s3 = add_column(s.s3, x, l, j - 3 * step);
        x = after;
    }
    return s;
}

INLINE strip start(const float *bias) {
    const pair zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    if (!bias) return (strip){zero, zero, zero, zero};
    return (strip){load_pair(bias), load_pair(bias), load_pair(bias), load_pair(bias)};
}

INLINE pair add_pixel(pair s, const float *addend) {
    return (pair){vaddq_f32(s.low, vld1q_f32(addend)), vaddq_f32(s.high, vld1q_f32(addend + 4))};
}

INLINE void store_pixel(float *c, pair s, float32x4_t lo, float32x4_t hi) {
    store_pair_f32(c, 0, clamp(s.low, lo, hi), clamp(s.high, lo, hi));
}

// The first `count` pixels of a strip, 8 channels from k on.
INLINE void finish_strip(const tody_dwconv_f32 *d, strip s, size_t row, size_t pixel, size_t k, const size_t count) {
    const float32x4_t lo = vdupq_n_f32(d->lo), hi = vdupq_n_f32(d->hi);
    if (d->addend) {
        const float *addend = d->addend + row * d->addend_row + pixel * d->addend_stride + k;
        s.s0 = add_pixel(s.s0, addend);
        if (count > 1) s.s1 = add_pixel(s.s1, addend += d->addend_stride);
        if (count > 2) s.s2 = add_pixel(s.s2, addend += d->addend_stride);
        if (count > 3) s.s3 = add_pixel(s.s3, addend += d->addend_stride);
    }
    float *c = d->c + row * d->c_row + pixel * d->c_stride + k;
    store_pixel(c, s.s0, lo, hi);
    if (count > 1) store_pixel(c += d->c_stride, s.s1, lo, hi);
    if (count > 2) store_pixel(c += d->c_stride, s.s2, lo, hi);
    if (count > 3) store_pixel(c += d->c_stride, s.s3, lo, hi);
}

INLINE line load_line(const float *w, size_t stride) {
    return (line){load_pair(w), load_pair(w + stride), load_pair(w + 2 * stride)};
}

// The strips of all rows from `pixel` on, 8 channels from k on.
INLINE void strips(const tody_dwconv_f32 *d, size_t pixel, size_t k, const int step, const layout how) {
    const float *w = d->w + k, *bias = d->bias ? d->bias + k : NULL;
    const line first = load_line(w, d->w_stride), second = load_line(w + 3 * d->w_stride, d->w_stride),
               third = load_line(w + 6 * d->w_stride, d->w_stride);
    const float *const *a = d->a + pixel * d->step;
    const size_t left = d->pixels - pixel;
    for (size_t row = 0; row < d->rows; row++, a += d->down * d->a_stride) {
        strip s = start(bias);
        s = add_line(s, a, k, &first, step, how);
        s = add_line(s, a + d->a_stride, k, &second, step, how);
        s = add_line(s, a + 2 * d->a_stride, k, &third, step, how);
        switch (how == SCATTERED ? left : STRIP) {
            case 1: finish_strip(d, s, row, pixel, k, 1); break;
            case 2: finish_strip(d, s, row, pixel, k, 2); break;
            case 3: finish_strip(d, s, row, pixel, k, 3); break;
            default: finish_strip(d, s, row, pixel, k, 4); break;
        }
    }
}

// Channels from k to `end`.
INLINE void channels(const tody_dwconv_f32 *d, size_t pixel, size_t k, const size_t end, const int step) {
    switch (d->pixels - pixel < STRIP ? SCATTERED : layout_of(d, pixel, 3 * (size_t)step + 2)) {
        case NEIGHBOURS:
            for (; k < end; k += TOGETHER) strips(d, pixel, k, step, NEIGHBOURS);
            break;
        case BORDERED:
            for (; k < end; k += TOGETHER) strips(d, pixel, k, step, BORDERED);
            break;
        default:
            for (; k < end; k += TOGETHER) strips(d, pixel, k, step, SCATTERED);
    }
}

// The last strip of a row begins where it ends with the row, and makes pixels of the strip before it once more, unless an
// addend that may lie below the result would be added twice.
INLINE void groups(const tody_dwconv_f32 *args, const size_t end, const int step) {
    const tody_dwconv_f32 d = *args;  // whose fields stay in registers, whatever is stored
    const size_t latest = d.pixels < STRIP || d.addend ? d.pixels : d.pixels - STRIP;
    for (size_t k = 0; k < end; k += GROUP) {
        const size_t group_end = k + GROUP < end ? k + GROUP : end;
        for (size_t pixel = 0; pixel < d.pixels; pixel += STRIP)
            channels(&d, pixel < latest ? pixel : latest, k, group_end, step);
    }
}

size_t tody_dwconv_3x3_f32_neon(const tody_dwconv_f32 *args) {
    if (args->height != 3 || args->width != 3 || args->step < 1 || args->step > 2) return 0;
    const size_t end = args->channels / TOGETHER * TOGETHER;
    if (args->step == 1)
        groups(args, end, 1);
    else
        groups(args, end, 2);
    return end;
}

#endif
