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

// Bytes between the pixels of a line from a[0] on, if these are neighbours.
INLINE size_t stride_of(const float *const *a) { return (uintptr_t)a[1] - (uintptr_t)a[0]; }

static layout layout_of(const tody_dwconv_f32 *d, size_t pixel, const size_t last) {
    const float *const *a = d->a + pixel * d->step, *const *end = a + ((d->rows - 1) * (size_t)d->down + 3) * d->a_stride;
    uintptr_t border = 0, inner = 0;
    for (; a < end; a += d->a_stride) {
        const uintptr_t stride = stride_of(a + 1);
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
    const float *const *from = how == BORDERED ? a + 1 : a, *next = *from + k;
    const size_t stride = how == SCATTERED ? 0 : stride_of(from);
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

// Of row `row`, which the compiler does not see here: else it would move pointers to addends from row to row where there are
// none.
INLINE strip add_addend(const tody_dwconv_f32 *d, strip s, size_t row, size_t pixel, size_t k, const size_t count) {
    __asm__("" : "+r"(row));
    const float *addend = d->addend + row * d->addend_row + pixel * d->addend_stride + k;
    s.s0 = add_pixel(s.s0, addend);
    if (count > 1) s.s1 = add_pixel(s.s1, addend += d->addend_stride);
    if (count > 2) s.s2 = add_pixel(s.s2, addend += d->addend_stride);
    if (count > 3) s.s3 = add_pixel(s.s3, addend += d->addend_stride);
    return s;
}

INLINE pair raise(pair s, float32x4_t lo) { return (pair){vmaxq_f32(s.low, lo), vmaxq_f32(s.high, lo)}; }
INLINE pair lower(pair s, float32x4_t hi) { return (pair){vminq_f32(s.low, hi), vminq_f32(s.high, hi)}; }

INLINE strip bound_strip(strip s, const float *lo, const float *hi, uint32_t bounds) {
    if (bounds & RAISED) {
        const float32x4_t x = vld1q_dup_f32(lo);
        s = (strip){raise(s.s0, x), raise(s.s1, x), raise(s.s2, x), raise(s.s3, x)};
    }
    if (bounds & LOWERED) {
        const float32x4_t x = vld1q_dup_f32(hi);
        s = (strip){lower(s.s0, x), lower(s.s1, x), lower(s.s2, x), lower(s.s3, x)};
    }
    return s;
}

// The first `count` pixels of a strip.
INLINE void store_strip(strip s, float *c, size_t stride, const size_t count) {
    store_row_f32(&c, stride, s.s0.low, s.s0.high, 0);
    if (count > 1) store_row_f32(&c, stride, s.s1.low, s.s1.high, 1);
    if (count > 2) store_row_f32(&c, stride, s.s2.low, s.s2.high, 2);
    if (count > 3) store_row_f32(&c, stride, s.s3.low, s.s3.high, 3);
}

INLINE void finish_strip(const tody_dwconv_f32 *d, strip s, size_t row, size_t pixel, size_t k, uint32_t bounds, float *c,
                         const size_t count) {
    if (d->addend) s = add_addend(d, s, row, pixel, k, count);
    store_strip(bound_strip(s, &d->lo, &d->hi, bounds), c, d->c_stride, count);
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
    const uint32_t bounds = bounds_of(d->lo, d->hi);
    float *c = d->c + pixel * d->c_stride + k;
    for (size_t row = 0; row < d->rows; row++, a += d->down * d->a_stride, c += d->c_row) {
        strip s = start(bias);
        s = add_line(s, a, k, &first, step, how);
        s = add_line(s, a + d->a_stride, k, &second, step, how);
        s = add_line(s, a + 2 * d->a_stride, k, &third, step, how);
        switch (how == SCATTERED ? left : STRIP) {
            case 1: finish_strip(d, s, row, pixel, k, bounds, c, 1); break;
            case 2: finish_strip(d, s, row, pixel, k, bounds, c, 2); break;
            case 3: finish_strip(d, s, row, pixel, k, bounds, c, 3); break;
            default: finish_strip(d, s, row, pixel, k, bounds, c, 4); break;
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
