// lines.c - checks of gemm_s8 where packed rows are windows over lines of an image, parts of which they share.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "integers.h"

// An image without padding, and the windows over it: `lines` lines of `width` of them.
typedef struct windows {
    uint32_t height, width, lines, kernel[2], stride[2], dilation;
    const int8_t *image;
} windows;

static uint32_t columns_of(const windows *w) { return (w->width - 1) * w->stride[1] + w->kernel[1]; }

static uint32_t span_of(const windows *w) { return (w->lines - 1) * w->stride[0] + (w->kernel[0] - 1) * w->dilation + 1; }

static uint32_t up_to_four(uint32_t depth) { return (depth + 3) / 4 * 4; }

// As the set wants its lines: short ones, or of a multiple of some number of values.
static windows random_windows(const tody_kernels *set, dice *r, uint32_t *depth) {
    windows w = {.width = 1 + random_below(r, 70), .lines = 1 + random_below(r, 4), .dilation = 1 + random_below(r, 2)};
    w.kernel[0] = 1 + random_below(r, random_below(r, 8) ? 5 : TODY_MAX_LINES);
    w.kernel[1] = 1 + random_below(r, 5);
    for (uint32_t d = 0; d < 2; d++) w.stride[d] = 1 + random_below(r, 3);
    *depth = 1 + random_below(r, random_below(r, 2) ? 4 : MAX_TERMS / 8 / w.kernel[0] / w.kernel[1]);
    if (w.kernel[1] * up_to_four(*depth) >= 64)
        *depth = (*depth + set->gemm_s8_lines - 1) / set->gemm_s8_lines * set->gemm_s8_lines;
    return w;
}

// Pointers as sets take them that do not pack.
static const int8_t *const *pointers(const windows *w, uint32_t depth) {
    const uint32_t rows = w->width * w->lines;
    const int8_t **a = memory_take((size_t)w->kernel[0] * w->kernel[1] * rows * sizeof *a);
    for (uint32_t t = 0; t < w->kernel[0] * w->kernel[1]; t++) {
        for (uint32_t i = 0; i < rows; i++) {
            const uint32_t y = i / w->width * w->stride[0] + t / w->kernel[1] * w->dilation;
            const uint32_t x = i % w->width * w->stride[1] + t % w->kernel[1];
            a[(size_t)t * rows + i] = w->image + ((size_t)y * columns_of(w) + x) * depth;
        }
    }
    return a;
}

// Line by line; what packing may write behind one is overwritten by the next.
static void pack_lines(const tody_kernels *set, const windows *w, tody_gemm_s8 *g) {
    const size_t pixel = up_to_four(g->depth), pitch = pixel * columns_of(w), last = pixel * w->stride[1] + 64;
    int8_t *packed = memory_take((pitch * span_of(w) + last) * set->gemm_s8_bytes + 64);
    packed += 63 - ((uintptr_t)packed + 63) % 64;
    for (uint32_t y = 0; y < span_of(w); y++) {
        const int8_t *line = w->image + (size_t)y * columns_of(w) * g->depth;
        const tody_pack_s8 p = {1, 1, columns_of(w), g->depth, &line, g->layer.x_zero, packed + y * pitch, 0};
        set->pack_s8(&p);
    }
    g->packed = packed;
    g->packed_stride = pixel * w->stride[1];
    g->width = w->width;
    g->lines = w->kernel[0];
    g->width_stride = pitch * w->stride[0];
    g->line_stride = pitch * w->dilation;
    g->depth = (uint32_t)pixel * g->taps;
    g->taps = 1;
    g->a = NULL;
}

static bool check_lines(const tody_kernels *set, uint64_t seed) {
    if (!set->gemm_s8_lines) return true;
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    tody_gemm_s8 g = {.layer = random_layer(&r), .scale_stride = 16};
    windows w = random_windows(set, &r, &g.depth);
    const uint32_t panels = 1 + random_below(&r, 3);
    g.cols = panels * 16 - random_below(&r, 16);
    g.rows = w.width * w.lines;
    g.taps = w.kernel[0] * w.kernel[1];
    if (random_below(&r, 4) == 0) g.layer.w_zero = (int32_t)random_below(&r, 256) - 128;
    describe("%u lines of %u windows %ux%u stride %u %u dilation %u cols %u depth %u zeros %d %d", w.lines, w.width,
             w.kernel[0], w.kernel[1], w.stride[0], w.stride[1], w.dilation, g.cols, g.depth, g.layer.x_zero, g.layer.w_zero);
    w.image = bytes_take(&r, (size_t)span_of(&w) * columns_of(&w) * g.depth, extreme);
    g.a = pointers(&w, g.depth);
    g.w_stride = (size_t)g.taps * up_to_four(g.depth) * 16;
    int8_t *weights = bytes_take(&r, panels * g.w_stride, extreme);
    if (random_below(&r, 2)) narrow_some(&r, weights, panels, g.w_stride);
    g.w = weights;
    g.bias = bias_take(&r, (size_t)panels * 16);
    g.scale = scales_take(&r, (size_t)panels * 16, (double)g.taps * g.depth * (extreme ? 100 : 4), &g.layer);
    g.addend_stride = g.c_stride = g.cols + random_below(&r, 20);
    const bytes b = result_take(&r, g.rows, g.cols, g.c_stride);
    const bool over = random_below(&r, 2) == 0;  // the addend is what the result overwrites
    g.addend = over ? b.want : NULL;
    g.c = b.want;
    run_panels_s8(&g);
    g.addend = over ? b.got : NULL;
    g.c = b.got;
    pack_lines(set, &w, &g);
    set->gemm_s8(&g);
    return result_same(&b);
}

typedef struct timed {
    const tody_kernels *kernels;
    tody_gemm_s8 gemm;
} timed;

static void run_lines(void *context) {
    const timed *t = context;
    t->kernels->gemm_s8(&t->gemm);
}

// Two lines of 28 windows of 3x3, by as many panels as a full tile has.
static void bench_lines(const tody_kernels *kernels) {
    static const uint32_t depths[] = {16, 64, 128};
    for (size_t i = 0; kernels->gemm_s8_lines && i < 3; i++) {
        dice r = random_from(i);
        const uint32_t cols = kernels->gemm_s8_panels * 16, depth = depths[i];
        windows w = {.width = 28, .lines = 2, .kernel = {3, 3}, .stride = {1, 1}, .dilation = 1};
        timed t = {kernels, {.rows = 56, .cols = cols, .taps = 9, .depth = depth, .c_stride = cols, .scale_stride = 16}};
        memory_reset();
        w.image = bytes_take(&r, (size_t)span_of(&w) * columns_of(&w) * depth + 64, false);
        t.gemm.w_stride = (size_t)9 * depth * 16;
        t.gemm.w = bytes_take(&r, t.gemm.w_stride * kernels->gemm_s8_panels, false);
        t.gemm.bias = bias_take(&r, cols);
        t.gemm.scale = scales_take(&r, cols, depth, NULL);
        t.gemm.c = bytes_take(&r, (size_t)56 * cols, false);
        t.gemm.layer = (tody_layer_s8){.x_zero = -128, .finish = {-128, 127, 0}};
        pack_lines(kernels, &w, &t.gemm);
        printf("  3x3x%u %.1f GMAC/s", depth, 56.0 * cols * 9 * depth / time_of(run_lines, &t) * 1e-9);
    }
}

const slot line_slots[] = {
    {"gemm_s8 lines", offsetof(tody_kernels, gemm_s8), check_lines, bench_lines},
    {NULL, 0, NULL, NULL},
};
