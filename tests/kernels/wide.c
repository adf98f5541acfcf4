// wide.c - checks of the int16 slots: every number equal to portable's, with sums that leave 32 bits too.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "integers.h"

static int16_t *words_take(dice *r, size_t count, bool extreme) {
    int16_t *x = memory_take(count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = extreme ? (random_below(r, 4) ? INT16_MIN : INT16_MAX) : (int16_t)((int32_t)random_below(r, 65536) - 32768);
    }
    return x;
}

// `count` pointers into a block of values, some of them to the same place and the last one to its very end.
static const int16_t **word_rows_take(dice *r, size_t count, size_t length, bool extreme) {
    const size_t block = length * 4 + 64;
    const int16_t *values = words_take(r, block, extreme), **a = memory_take((count * sizeof *a + 7) / 8 * 8);
    for (size_t i = 0; i < count; i++) a[i] = values + random_below(r, (uint32_t)(block - length + 1));
    a[count - 1] = values + block - length;
    return a;
}

// Multipliers for sums of so many terms, zero points of 0, and limits within those of 16 bits.
static tody_layer_s8 wide_layer(dice *r) {
    tody_layer_s8 q = {.addend_scale = random_scale(r, 1.0)};
    const int32_t lo = random_below(r, 2) ? INT16_MIN : (int32_t)random_below(r, 32768) - 16384;
    q.finish.lo = (float)lo;
    q.finish.hi = random_below(r, 2) ? 32767.0f : (float)(lo + (int32_t)random_below(r, (uint32_t)(32768 - lo)));
    return q;
}

// What a kernel and its portable twin write; rows are counted in bytes.
typedef struct result {
    bytes all;
    int16_t *got, *want;
} result;

static result wide_result_take(dice *r, size_t rows, size_t cols, size_t stride) {
    const bytes b = result_take(r, rows, cols * sizeof(int16_t), stride * sizeof(int16_t));
    return (result){b, (int16_t *)(void *)b.got, (int16_t *)(void *)b.want};
}

// Portable, which takes one panel at a time.
static void run_panels(const tody_gemm_s16 *g) {
    tody_gemm_s16 one = *g;
    for (uint32_t at = 0; at < g->cols; at += 16) {
        one.cols = g->cols - at < 16 ? g->cols - at : 16;
        one.w = g->w + at / 16 * g->w_stride;
        one.scale = g->scale + at;
        one.bias = g->bias ? g->bias + at : NULL;
        one.addend = g->addend ? g->addend + at : NULL;
        one.c = g->c + at;
        tody_kernels_portable.gemm_s16(&one);
    }
}

// The addend is absent, elsewhere, or what the result overwrites.
static bool check_gemm(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    const uint32_t panels = 1 + random_below(&r, set->gemm_s16_panels);
    tody_gemm_s16 g = {.rows = 1 + random_below(&r, set->gemm_s16_rows), .taps = 1, .layer = wide_layer(&r)};
    g.cols = panels * 16 - (random_below(&r, 2) ? random_below(&r, 16) : 0);
    if (random_below(&r, 2)) g.taps = 1 + random_below(&r, random_below(&r, 4) ? 10 : 150);
    g.depth = 1 + random_below(&r, random_below(&r, 2) ? 4 : MAX_TERMS / g.taps / (random_below(&r, 4) ? 8 : 1));
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20);
    describe("rows %u cols %u taps %u depth %u addend %u gap %u", g.rows, g.cols, g.taps, g.depth, addend, gap);
    g.a = word_rows_take(&r, (size_t)g.taps * g.rows, g.depth, extreme);
    g.w_stride = (size_t)g.taps * ((g.depth + 1) / 2) * 32;
    g.w = words_take(&r, panels * g.w_stride, extreme);  // what lies behind the depth is not zero
    if (random_below(&r, 2)) g.bias = bias_take(&r, (size_t)panels * 16);
    g.scale = scales_take(&r, (size_t)panels * 16, (double)g.taps * g.depth * 3000, &g.layer);
    g.addend_stride = g.c_stride = g.cols + gap;
    const result b = wide_result_take(&r, g.rows, g.cols, g.c_stride);
    if (addend == 1) g.addend = words_take(&r, (g.rows - 1) * g.addend_stride + g.cols, false);
    if (addend == 2) g.addend = b.want;
    g.c = b.want;
    run_panels(&g);
    if (addend == 2) g.addend = b.got;
    g.c = b.got;
    set->gemm_s16(&g);
    return result_same(&b.all);
}

static bool check_dwconv(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    const window w = random_window(&r);
    tody_dwconv_s16 d = {.pixels = 1 + random_below(&r, 20), .channels = 1 + random_below(&r, 100), .layer = wide_layer(&r)};
    d.height = w.height;
    d.width = w.width;
    d.step = w.step;
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20), taps = w.height * w.width;
    describe("pixels %u channels %u window %u %u step %u addend %u gap %u", d.pixels, d.channels, d.height, d.width, d.step,
             addend, gap);
    d.a = word_rows_take(&r, (size_t)((d.pixels - 1) * d.step + d.width) * d.height, d.channels, extreme);
    d.w = words_take(&r, (size_t)taps * d.channels, extreme);
    if (random_below(&r, 2)) d.bias = bias_take(&r, d.channels);
    d.scale = scales_take(&r, d.channels, (double)taps * 3000, &d.layer);
    d.addend_stride = d.c_stride = d.channels + gap;
    const result b = wide_result_take(&r, d.pixels, d.channels, d.c_stride);
    if (addend == 1) d.addend = words_take(&r, (d.pixels - 1) * d.addend_stride + d.channels, false);
    if (addend == 2) d.addend = b.want;
    d.c = b.want;
    tody_kernels_portable.dwconv_s16(&d);
    if (addend == 2) d.addend = b.got;
    d.c = b.got;
    set->dwconv_s16(&d);
    return result_same(&b.all);
}

// The fixed shapes of the benchmark.

typedef struct timed {
    const tody_kernels *kernels;
    tody_gemm_s16 gemm;
    tody_dwconv_s16 dwconv;
} timed;

static void run_gemm(void *context) {
    const timed *t = context;
    t->kernels->gemm_s16(&t->gemm);
}

// A full tile.
static void bench_gemm(const tody_kernels *kernels) {
    static const uint32_t shapes[][2] = {{1, 16}, {9, 3}, {1, 64}, {1, 512}};  // taps, depth
    const uint32_t cols = kernels->gemm_s16_panels * 16, rows = kernels->gemm_s16_rows;
    for (size_t i = 0; i < 4; i++) {
        dice r = random_from(i);
        const uint32_t taps = shapes[i][0], depth = shapes[i][1];
        timed t = {.kernels = kernels, .gemm = {.rows = rows, .cols = cols, .taps = taps, .depth = depth, .c_stride = cols}};
        memory_reset();
        t.gemm.a = word_rows_take(&r, (size_t)taps * rows, depth, false);
        t.gemm.w_stride = (size_t)taps * ((depth + 1) / 2) * 32;
        t.gemm.w = words_take(&r, t.gemm.w_stride * kernels->gemm_s16_panels, false);
        t.gemm.bias = bias_take(&r, cols);
        t.gemm.scale = scales_take(&r, cols, depth, NULL);
        t.gemm.c = words_take(&r, (size_t)rows * cols, false);
        t.gemm.layer = (tody_layer_s8){.finish = {-32768, 32767, 0}};
        const double products = (double)cols * rows * taps * depth;
        printf("  %ux%ux%ux%u %.1f GMAC/s", rows, cols, taps, depth, products / time_of(run_gemm, &t) * 1e-9);
    }
}

static void run_dwconv(void *context) {
    const timed *t = context;
    t->kernels->dwconv_s16(&t->dwconv);
}

static void bench_dwconv(const tody_kernels *kernels) {
    static const uint32_t shapes[][3] = {{3, 1, 16}, {3, 1, 96}, {3, 2, 96}, {5, 1, 96}};  // window, step, channels
    for (size_t i = 0; i < 4; i++) {
        dice r = random_from(i);
        const uint32_t size = shapes[i][0], step = shapes[i][1], channels = shapes[i][2], taps = size * size;
        timed t = {.kernels = kernels,
                   .dwconv = {.pixels = 32, .channels = channels, .height = size, .width = size, .step = step}};
        memory_reset();
        t.dwconv.a = word_rows_take(&r, (size_t)(31 * step + size) * size, channels, false);
        t.dwconv.w = words_take(&r, (size_t)taps * channels, false);
        t.dwconv.scale = scales_take(&r, channels, taps, NULL);
        t.dwconv.c = words_take(&r, (size_t)t.dwconv.pixels * channels, false);
        t.dwconv.c_stride = channels;
        t.dwconv.layer = (tody_layer_s8){.finish = {-32768, 32767, 0}};
        const double products = (double)t.dwconv.pixels * channels * taps;
        printf("  %ux%u/%u %u channels %.1f GMAC/s", size, size, step, channels, products / time_of(run_dwconv, &t) * 1e-9);
    }
}

const slot wide_slots[] = {
    {"gemm_s16", offsetof(tody_kernels, gemm_s16), check_gemm, bench_gemm},
    {"dwconv_s16", offsetof(tody_kernels, dwconv_s16), check_dwconv, bench_dwconv},
    {NULL, 0, NULL, NULL},
};
