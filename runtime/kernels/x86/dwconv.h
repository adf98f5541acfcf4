// dwconv.h - depthwise convolution: strips of pixels by a few vectors of channels. Line by line of the window, its weights stay
// in registers, and each column is loaded once for all the windows that it is in.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has VECTORS, of channels taken together: as many as the registers hold sums of; and GROUP, channels that
// go by while the strips of some rows stay in the first-level cache.
#ifndef TODY_X86_DWCONV_H
#define TODY_X86_DWCONV_H

#include "vector.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

// Pixels of a strip: most images are a multiple of 7 wide; of a row's last one, where so few are left; the widest window whose
// weights stay in registers.
enum { STRIP = DWCONV_F32_STRIP, SHORT_STRIP = 5, LARGEST = 7 };

// The sums of a strip, from channel k on. Only a single vector may not be whole: then the mask tells what of it is there.
typedef struct strip {
    vector sum[STRIP][VECTORS];
    size_t k;
    mask m;
} strip;

// The compiler would load a pixel once for each window that it is in.
INLINE vector in_register(vector v) {
    __asm__("" : "+v"(v));
    return v;
}

// Add a line of `pixels` windows of a known width: its first pixels are at `a`, its weights at `w`.
INLINE void add_line(const tody_dwconv_f32 *d, strip *s, const float *const *a, const float *w, const uint32_t width,
                     const uint32_t step, const uint32_t pixels, const uint32_t count, const bool whole) {
    vector weights[LARGEST][VECTORS];
#pragma GCC unroll 8
    for (uint32_t x = 0; x < width; x++) {
#pragma GCC unroll 2
        for (uint32_t i = 0; i < count; i++) weights[x][i] = load_part(w + x * d->w_stride + i * WIDTH, whole, s->m);
    }
#pragma GCC unroll 19
    for (uint32_t j = 0; j < (pixels - 1) * step + width; j++) {
#pragma GCC unroll 2
        for (uint32_t i = 0; i < count; i++) {
            const vector x = in_register(load_part(a[j] + s->k + i * WIDTH, whole, s->m));
#pragma GCC unroll 8
            for (uint32_t p = 0; p < pixels; p++) {
                if (j >= p * step && j - p * step < width)
                    s->sum[p][i] = add_product(x, weights[j - p * step][i], s->sum[p][i]);
            }
        }
    }
}

// Add a line of windows of any width.
INLINE void add_any_line(const tody_dwconv_f32 *d, strip *s, const float *const *a, const float *w, const uint32_t count,
                         const bool whole) {
    for (uint32_t x = 0; x < d->width; x++, a++, w += d->w_stride) {
#pragma GCC unroll 2
        for (uint32_t i = 0; i < count; i++) {
            const vector weight = load_part(w + i * WIDTH, whole, s->m);
#pragma GCC unroll 8
            for (uint32_t p = 0; p < STRIP; p++) {
                const float *pixel = a[(size_t)p * d->step] + s->k + i * WIDTH;
                s->sum[p][i] = add_product(load_part(pixel, whole, s->m), weight, s->sum[p][i]);
            }
        }
    }
}

INLINE void start(const tody_dwconv_f32 *d, strip *s, const uint32_t pixels, const uint32_t count, const bool whole) {
#pragma GCC unroll 2
    for (uint32_t i = 0; i < count; i++) {
        const vector bias = d->bias ? load_part(d->bias + s->k + i * WIDTH, whole, s->m) : all(0.0f);
#pragma GCC unroll 8
        for (uint32_t p = 0; p < pixels; p++) s->sum[p][i] = bias;
    }
}

// Store what of the strip belongs to the row.
INLINE void end(const tody_dwconv_f32 *d, const strip *s, size_t row, size_t pixel, const uint32_t pixels, const uint32_t count,
                const bool whole) {
    const size_t left = d->pixels - pixel, c_stride = d->c_stride, addend_stride = d->addend_stride;
    const vector lo = all(d->lo), hi = all(d->hi);
    float *c = d->c + row * d->c_row + pixel * c_stride + s->k;
    const float *addend = d->addend ? d->addend + row * d->addend_row + pixel * addend_stride + s->k : NULL;
#pragma GCC unroll 8
    for (uint32_t p = 0; p < pixels; p++, c += c_stride) {
        if (p == left) break;
#pragma GCC unroll 2
        for (uint32_t i = 0; i < count; i++) {
            vector v = s->sum[p][i];
            if (addend) v = add(v, load_part(addend + i * WIDTH, whole, s->m));
            store_part(c + i * WIDTH, whole, s->m, clamp(v, lo, hi));
        }
        if (addend) addend += addend_stride;
    }
}

// The strip of `row` from `pixel` on in channels [k, end), `count` vectors at a time. A width of 0 is one that is not known;
// then the strip has all its pixels.
INLINE void make_strip(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end_k, const uint32_t width,
                       const uint32_t step, const uint32_t pixels, const uint32_t count, const bool whole) {
    const size_t a_stride = d->a_stride, w_step = d->width * d->w_stride;
    const float *const *grid = d->a + row * d->down * a_stride + pixel * d->step;
    for (; k < end_k; k += count * WIDTH) {
        strip s = {.k = k, .m = first(d->channels - k)};
        const float *const *a = grid;
        const float *w = d->w + k;
        start(d, &s, pixels, count, whole);
        for (uint32_t y = d->height; y > 0; y--, a += a_stride, w += w_step) {
            if (width)
                add_line(d, &s, a, w, width, step, pixels, count, whole);
            else
                add_any_line(d, &s, a, w, count, whole);
        }
        end(d, &s, row, pixel, pixels, count, whole);
    }
}

// Not inlined, so that the loops around them leave all registers to them.
typedef void (*strip_maker)(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end);

static void whole_3_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 3, 1, STRIP, VECTORS, true);
}
static void short_3_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 3, 1, SHORT_STRIP, VECTORS, true);
}
static void part_3_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 3, 1, STRIP, 1, false);
}
static void whole_3_2(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 3, 2, STRIP, VECTORS, true);
}
static void part_3_2(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 3, 2, STRIP, 1, false);
}
static void whole_5_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 5, 1, STRIP, VECTORS, true);
}
static void part_5_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 5, 1, STRIP, 1, false);
}
static void whole_5_2(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 5, 2, STRIP, VECTORS, true);
}
static void part_5_2(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 5, 2, STRIP, 1, false);
}
static void whole_7_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 7, 1, STRIP, VECTORS, true);
}
static void part_7_1(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 7, 1, STRIP, 1, false);
}
static void whole_any(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 0, 0, STRIP, VECTORS, true);
}
static void part_any(const tody_dwconv_f32 *d, size_t row, size_t pixel, size_t k, size_t end) {
    make_strip(d, row, pixel, k, end, 0, 0, STRIP, 1, false);
}

// Channels [k, end). Strips go down before they go across: the windows of whole rows would fall out of the first-level cache,
// most of all where pixels are a power of two apart and so share a few sets of it.
static void channels(const tody_dwconv_f32 *d, size_t k, size_t end, strip_maker most, strip_maker last) {
    for (uint32_t pixel = 0; pixel < d->pixels; pixel += STRIP) {
        const strip_maker make = d->pixels - pixel <= SHORT_STRIP ? last : most;
        for (uint32_t row = 0; row < d->rows; row++) make(d, row, pixel, k, end);
    }
}

static void all_channels(const tody_dwconv_f32 *d, strip_maker whole, strip_maker last, strip_maker part) {
    const size_t together = VECTORS * WIDTH, end = d->channels / together * together;
    for (size_t k = 0; k < end; k += GROUP) channels(d, k, k + GROUP < end ? k + GROUP : end, whole, last);
    for (size_t k = end; k < d->channels; k += WIDTH) channels(d, k, k + 1, part, part);
}

static inline void dwconv_f32(const tody_dwconv_f32 *d) {
    if (d->width == 3 && d->step == 1)
        all_channels(d, whole_3_1, short_3_1, part_3_1);
    else if (d->width == 3 && d->step == 2)
        all_channels(d, whole_3_2, whole_3_2, part_3_2);
    else if (d->width == 5 && d->step == 1)
        all_channels(d, whole_5_1, whole_5_1, part_5_1);
    else if (d->width == 5 && d->step == 2)
        all_channels(d, whole_5_2, whole_5_2, part_5_2);
    else if (d->width == 7 && d->step == 1)
        all_channels(d, whole_7_1, whole_7_1, part_7_1);
    else
        all_channels(d, whole_any, whole_any, part_any);
}

#endif
