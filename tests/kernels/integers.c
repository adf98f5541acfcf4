// integers.c - checks of the int8 slots: every byte equal to portable's, at extreme values and zero points too.
// SPDX-License-Identifier: Apache-2.0
#include "integers.h"

#include <stdio.h>
#include <string.h>

#include "core/format.h"

// Now and then, let neighbouring taps be neighbours in memory: how many.
static uint32_t make_runs(dice *r, tody_gemm_s8 *g) {
    const uint32_t run = 1 + random_below(r, 4);
    if (g->taps % run != 0) return 1;
    const int8_t *const *values =
        (const int8_t *const *)rows_take(r, (size_t)g->taps / run * g->rows, (size_t)g->depth * run, false);
    const int8_t **a = memory_take((size_t)g->taps * g->rows * sizeof *a);
    for (uint32_t i = 0; i < g->taps * g->rows; i++) {
        const uint32_t tap = i / g->rows;
        a[i] = values[tap / run * g->rows + i % g->rows] + (size_t)(tap % run) * g->depth;
    }
    g->a = a;
    return run;
}

static const int8_t *forward(const int8_t *p, size_t count) { return p ? p + count : NULL; }

void run_panels_s8(const tody_gemm_s8 *g) {
    tody_gemm_s8 one = *g;
    for (uint32_t at = 0; at < g->cols; at += 16) {
        const uint32_t left = g->cols - at, panel = at / 16;
        one.cols = left < 16 ? left : 16;
        one.w = g->w + panel * g->w_stride;
        one.scale = g->scale + panel * g->scale_stride;
        one.bias = g->bias ? g->bias + at : NULL;
        one.addend = forward(g->addend, at);
        one.c = g->c + at;
        tody_kernels_portable.gemm_s8(&one);
    }
}

void narrow_some(dice *r, int8_t *w, uint32_t panels, size_t stride) {
    for (uint32_t p = 0; p < panels; p++, w += stride) {
        const uint32_t kind = random_below(r, 5);
        for (size_t i = 0; kind && i < stride; i++) {
            const int8_t large = kind == 1 || (kind == 3 && i / 128 % 3 == 0) ? 64 : 32, extreme = w[i] < 0 ? -large : large;
            w[i] = kind == 4 ? w[i] / 2 : extreme;
        }
    }
}

// Rows that stand closer, and right in front of the fence but for what may be read behind them.
static void lay_plain(dice *r, tody_gemm_s8 *g) {
    const size_t stride = g->depth + random_below(r, 3) * 4;
    int8_t *plain = memory_take((g->rows - 1) * stride + g->depth + (g->depth % 16 ? 12 : 0));
    for (uint32_t i = 0; i < g->rows; i++) memcpy(plain + i * stride, g->packed + i * g->packed_stride, g->depth);
    g->packed = plain;
    g->packed_stride = stride;
}

// A few rows at a time: lines of windows, of which `run` taps are neighbours, or taps.
static void pack(const tody_kernels *set, dice *r, uint32_t run, tody_gemm_s8 *g) {
    const uint32_t groups = (g->depth + 3) / 4, tiles = (g->rows + set->gemm_s8_rows - 1) / set->gemm_s8_rows;
    const uint32_t unit = set->pack_s8_rows ? set->pack_s8_rows : 1;
    g->packed_stride = (g->taps * groups * 4 + 63) / 64 * 64 + random_below(r, 2) * 64;
    int8_t *packed =
        memory_take((tiles * set->gemm_s8_rows * set->gemm_s8_bytes + set->gemm_s8_spare) * g->packed_stride + 128);
    packed += 63 - ((uintptr_t)packed + 63) % 64;
    const size_t pointers = (size_t)g->taps * g->rows;
    const int8_t **end = (const int8_t **)memory_take(pointers * sizeof *end) + pointers;
    tody_pack_s8 p = {.depth = g->depth, .x_zero = g->layer.x_zero, .stride = g->packed_stride};
    for (uint32_t at = 0; at < g->rows; at += p.rows) {
        p.rows = (1 + random_below(r, (g->rows - at) / unit + 1)) * unit;
        if (p.rows > g->rows - at) p.rows = g->rows - at;
        p.run = random_below(r, 4) ? run : 1;
        p.lines = g->taps / p.run;
        p.packed = packed + at * p.stride;
        const int8_t **a = end - (size_t)p.lines * p.rows;
        for (uint32_t i = 0; i < p.lines * p.rows; i++) {
            a[i] = g->a[(size_t)(i / p.rows) * p.run * g->rows + at + i % p.rows];
        }
        p.a = a;
        set->pack_s8(&p);
    }
    g->packed = packed;
    g->width = g->rows;
    g->lines = 1;
    g->line_stride = g->packed_stride;
    g->a = NULL;
    g->depth = g->taps * groups * 4;
    g->taps = 1;
    if (set->gemm_s8_plain && random_below(r, 2)) lay_plain(r, g);
}

// Row by row.
static void run_rows(const tody_dwconv_s8 *all) {
    tody_dwconv_s8 d = *all;
    for (d.rows = 1; d.a < all->a + (size_t)all->rows * all->down; d.a += d.down, d.c += d.pixels * d.c_stride) {
        tody_kernels_portable.dwconv_s8(&d);
        if (d.addend) d.addend += d.pixels * d.addend_stride;
    }
}

// The addend is absent, elsewhere, or what the result overwrites.
static bool check_gemm(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    tody_gemm_s8 g = {.rows = 1 + random_below(&r, set->pack_s8 ? set->gemm_s8_block : set->gemm_s8_rows), .taps = 1};
    const uint32_t panels = 1 + random_below(&r, set->pack_s8 ? 5 : set->gemm_s8_panels);
    g.cols = panels * 16 - (random_below(&r, 2) ? random_below(&r, 16) : 0);
    if (random_below(&r, 2)) g.taps = 1 + random_below(&r, random_below(&r, 4) ? 10 : 150);
    g.depth = 1 + random_below(&r, random_below(&r, 2) ? 4 : MAX_TERMS / g.taps / (random_below(&r, 4) ? 8 : 1));
    g.layer = random_layer(&r);
    if (random_below(&r, 3) == 0) g.layer.w_zero = (int32_t)random_below(&r, 256) - 128;
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20);
    describe("rows %u cols %u taps %u depth %u addend %u gap %u zeros %d %d %d", g.rows, g.cols, g.taps, g.depth, addend, gap,
             g.layer.x_zero, g.layer.w_zero, g.layer.finish.zero);
    g.a = rows_take(&r, (size_t)g.taps * g.rows, g.depth, extreme);
    const uint32_t run = make_runs(&r, &g);
    if (!set->pack_s8) g.work = memory_take((size_t)tody_gemm_work(g.taps, g.depth));
    g.w_stride = (size_t)g.taps * ((g.depth + 3) / 4) * 64;
    int8_t *w = bytes_take(&r, panels * g.w_stride, extreme);  // what lies behind the depth is not zero
    if (random_below(&r, 2)) narrow_some(&r, w, panels, g.w_stride);
    g.w = w;
    if (random_below(&r, 2)) g.bias = bias_take(&r, (size_t)panels * 16);
    g.scale_stride = random_below(&r, 4) ? 16 : 0;
    g.scale = scales_take(&r, 16 + (panels - 1) * g.scale_stride, (double)g.taps * g.depth * (extreme ? 100 : 4), &g.layer);
    g.addend_stride = g.c_stride = g.cols + gap;
    const bytes b = result_take(&r, g.rows, g.cols, g.c_stride);
    if (addend == 1) g.addend = bytes_take(&r, (g.rows - 1) * g.addend_stride + g.cols, false);
    if (addend == 2) g.addend = b.want;
    g.c = b.want;
    run_panels_s8(&g);
    if (addend == 2) g.addend = b.got;
    g.c = b.got;
    if (set->pack_s8) pack(set, &r, run, &g);
    set->gemm_s8(&g);
    return result_same(&b);
}

static bool check_dwconv(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    const window w = random_window(&r);
    tody_dwconv_s8 d = {.pixels = 1 + random_below(&r, 20), .channels = 1 + random_below(&r, 100), .layer = random_layer(&r)};
    d.height = w.height;
    d.width = w.width;
    d.step = w.step;
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20), taps = w.height * w.width;
    const bool several = set->dwconv_s8_rows && d.height == 3 && d.width == 3 && d.step <= 2;
    d.rows = several ? 1 + random_below(&r, set->dwconv_s8_rows) : 1;
    describe("rows %u pixels %u channels %u window %u %u step %u addend %u gap %u zeros %d %d", d.rows, d.pixels, d.channels,
             d.height, d.width, d.step, addend, gap, d.layer.x_zero, d.layer.finish.zero);
    d.down = 1 + random_below(&r, 2);
    d.lines = (d.rows - 1) * d.down + d.height;
    d.a = rows_take(&r, (size_t)((d.pixels - 1) * d.step + d.width) * d.lines, d.channels, extreme);
    d.work = memory_take((size_t)tody_dwconv_work(taps));
    d.w = bytes_take(&r, (size_t)taps * d.channels, extreme);
    if (random_below(&r, 2)) d.bias = bias_take(&r, d.channels);
    d.scale = scales_take(&r, d.channels, (double)taps * (extreme ? 100 : 20), &d.layer);
    d.addend_stride = d.c_stride = d.channels + gap;
    const uint32_t pixels = d.rows * d.pixels;
    const bytes b = result_take(&r, pixels, d.channels, d.c_stride);
    if (addend == 1) d.addend = bytes_take(&r, (pixels - 1) * d.addend_stride + d.channels, false);
    if (addend == 2) d.addend = b.want;
    d.c = b.want;
    run_rows(&d);
    if (addend == 2) d.addend = b.got;
    d.c = b.got;
    set->dwconv_s8(&d);
    return result_same(&b);
}

// Lengths around the widths of vectors are as frequent as long ones.
static uint32_t random_count(dice *r) { return 1 + random_below(r, random_below(r, 2) ? 40 : 600); }

// The result may overwrite an operand.
static bool check_binary(const tody_kernels *set, uint64_t seed) {
    static const uint32_t functions[] = {TODY_FN2_ADD, TODY_FN2_SUB, TODY_FN2_MUL, TODY_FN2_MIN, TODY_FN2_MAX};
    dice r = random_from(seed);
    const tody_layer_s8 q = random_layer(&r);
    const uint32_t count = random_count(&r), overwritten = random_below(&r, 3);  // 1: x, 2: y
    tody_binary_s8 args = {functions[random_below(&r, 5)], q.x_zero, q.addend_zero, q.addend_scale, 0, q.finish};
    args.y_scale = random_scale(&r, 4);
    describe("fn2 %u count %u overwritten %u zeros %d %d %d", args.fn2, count, overwritten, args.x_zero, args.y_zero,
             args.finish.zero);
    const int8_t *x = bytes_take(&r, count, false), *y = bytes_take(&r, count, false);
    const bytes b = result_take(&r, 1, count, count);
    tody_kernels_portable.binary_s8(&args, x, y, b.want, count);
    if (overwritten == 1) x = memcpy(b.got, x, count);
    if (overwritten == 2) y = memcpy(b.got, y, count);
    set->binary_s8(&args, x, y, b.got, count);
    return result_same(&b);
}

static bool check_lut(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t count = random_count(&r), in_place = random_below(&r, 2);
    describe("count %u in place %u", count, in_place);
    const int8_t *table = bytes_take(&r, 256, false), *x = bytes_take(&r, count, false);
    const bytes b = result_take(&r, 1, count, count);
    tody_kernels_portable.lut_s8(table, x, b.want, count);
    if (in_place) x = memcpy(b.got, x, count);
    set->lut_s8(table, x, b.got, count);
    return result_same(&b);
}

static bool check_sum(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t taps = 1 + random_below(&r, 40), channels = random_count(&r);
    describe("taps %u channels %u", taps, channels);
    const int8_t **a = rows_take(&r, taps, channels, random_below(&r, 4) == 0);
    const bytes b = result_take(&r, 1, channels * sizeof(uint32_t), channels * sizeof(uint32_t));
    tody_kernels_portable.sum_s8(a, taps, channels, (uint32_t *)(void *)b.want);
    set->sum_s8(a, taps, channels, (uint32_t *)(void *)b.got);
    return result_same(&b);
}

static bool check_max(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t taps = 1 + random_below(&r, 40), channels = random_count(&r);
    describe("taps %u channels %u", taps, channels);
    const int8_t **a = rows_take(&r, taps, channels, random_below(&r, 4) == 0);
    const bytes b = result_take(&r, 1, channels, channels);
    tody_kernels_portable.max_s8(a, taps, channels, b.want);
    set->max_s8(a, taps, channels, b.got);
    return result_same(&b);
}

// The fixed shapes of the benchmark: those of products.c.

typedef struct timed {
    const tody_kernels *kernels;
    tody_gemm_s8 gemm;
    tody_dwconv_s8 dwconv;
    tody_binary_s8 binary;
    const int8_t *x, *y, **a;
    int8_t *z;
    uint32_t *sum;
} timed;

enum { LENGTH = 4096, TAPS = 9 };

// 48 rows by as many panels as a full tile has, as an operator does it.
static void run_gemm(void *context) {
    const timed *t = context;
    tody_gemm_s8 g = t->gemm;
    if (t->kernels->pack_s8) {
        const tody_pack_s8 p = {g.rows, g.taps, 1, g.depth, g.a, g.layer.x_zero, t->z, g.packed_stride};
        t->kernels->pack_s8(&p);
        g.packed = t->z;
        g.width = g.rows;
        g.lines = 1;
        g.line_stride = g.packed_stride;
        g.depth = g.taps * ((g.depth + 3) / 4) * 4;
        t->kernels->gemm_s8(&g);
        return;
    }
    const uint32_t tile = t->gemm.rows == 1 ? 1 : t->kernels->gemm_s8_rows;
    for (uint32_t row = 0; row < t->gemm.rows; row += tile) {
        g.rows = t->gemm.rows - row < tile ? t->gemm.rows - row : tile;
        g.a = t->gemm.a + row;
        g.c = t->gemm.c + row * g.c_stride;
        t->kernels->gemm_s8(&g);
    }
}

static void bench_gemm(const tody_kernels *kernels) {
    static const uint32_t shapes[][3] = {{48, 1, 16}, {48, 9, 3}, {48, 1, 64}, {48, 1, 512}, {1, 1, 512}};  // rows, taps, depth
    const uint32_t cols = kernels->gemm_s8_panels * 16;
    for (size_t i = 0; i < 5; i++) {
        dice r = random_from(i);
        const uint32_t rows = shapes[i][0], taps = shapes[i][1], depth = shapes[i][2];
        timed t = {.kernels = kernels, .gemm = {.rows = rows, .cols = cols, .taps = taps, .depth = depth, .c_stride = cols}};
        memory_reset();
        t.gemm.a = rows_take(&r, (size_t)taps * rows, depth + 64, false);  // off the fence: masked loads across it are slow
        t.gemm.work = memory_take((size_t)tody_gemm_work(taps, depth));
        t.gemm.packed_stride = ((taps * (depth + 3) / 4 * 4 + 63) / 64 | 1) * 64;
        t.z = bytes_take(&r, 64 * t.gemm.packed_stride * kernels->gemm_s8_bytes + 64, false);
        t.gemm.w_stride = (size_t)taps * ((depth + 3) / 4) * 64;
        t.gemm.w = bytes_take(&r, t.gemm.w_stride * kernels->gemm_s8_panels, false);
        t.gemm.bias = bias_take(&r, cols);
        t.gemm.scale = scales_take(&r, 16, depth, NULL);
        t.gemm.c = bytes_take(&r, (size_t)rows * cols, false);
        t.gemm.layer = (tody_layer_s8){.x_zero = -128, .finish = {-128, 127, 0}};
        const double products = (double)cols * rows * taps * depth;
        printf("  %ux%ux%ux%u %.1f GMAC/s", rows, cols, taps, depth, products / time_of(run_gemm, &t) * 1e-9);
    }
}

static void run_dwconv(void *context) {
    const timed *t = context;
    t->kernels->dwconv_s8(&t->dwconv);
}

static void bench_dwconv(const tody_kernels *kernels) {
    static const uint32_t shapes[][3] = {{3, 1, 16}, {3, 1, 96}, {3, 2, 96}, {5, 1, 96}};  // window, step, channels
    for (size_t i = 0; i < 4; i++) {
        dice r = random_from(i);
        const uint32_t size = shapes[i][0], step = shapes[i][1], taps = size * size;
        timed t = {.kernels = kernels, .dwconv = {.pixels = 32, .channels = shapes[i][2]}};
        t.dwconv.height = t.dwconv.width = t.dwconv.lines = size;
        t.dwconv.rows = 1;
        t.dwconv.step = step;
        memory_reset();
        t.dwconv.a = rows_take(&r, (size_t)(31 * step + size) * size, t.dwconv.channels, false);
        t.dwconv.work = memory_take((size_t)tody_dwconv_work(taps));
        t.dwconv.w = bytes_take(&r, taps * t.dwconv.channels, false);
        t.dwconv.bias = bias_take(&r, t.dwconv.channels);
        t.dwconv.scale = scales_take(&r, t.dwconv.channels, taps, NULL);
        t.dwconv.c = bytes_take(&r, t.dwconv.pixels * t.dwconv.channels, false);
        t.dwconv.c_stride = t.dwconv.channels;
        t.dwconv.layer = (tody_layer_s8){.x_zero = -128, .finish = {-128, 127, 0}};
        const double products = (double)t.dwconv.pixels * t.dwconv.channels * taps;
        printf("  %ux%u/%u %u channels %.1f GMAC/s", size, size, step, t.dwconv.channels,
               products / time_of(run_dwconv, &t) * 1e-9);
    }
}

static void run_binary(void *context) {
    const timed *t = context;
    t->kernels->binary_s8(&t->binary, t->x, t->y, t->z, LENGTH);
}

static void run_lut(void *context) {
    const timed *t = context;
    t->kernels->lut_s8(t->y, t->x, t->z, LENGTH);
}

static void run_sum(void *context) {
    const timed *t = context;
    t->kernels->sum_s8(t->a, TAPS, 96, t->sum);
}

static void run_max(void *context) {
    const timed *t = context;
    t->kernels->max_s8(t->a, TAPS, 96, t->z);
}

static timed timed_rows(const tody_kernels *kernels) {
    dice r = random_from(1);
    timed t = {.kernels = kernels, .binary = {.x_scale = 0.5f, .y_scale = 0.25f, .finish = {-128, 127, 0}}};
    t.x = bytes_take(&r, LENGTH, false);
    t.y = bytes_take(&r, LENGTH, false);
    t.z = bytes_take(&r, LENGTH, false);
    t.a = rows_take(&r, TAPS, 96, false);
    t.sum = memory_take(96 * sizeof *t.sum);
    memset(t.sum, 0, 96 * sizeof *t.sum);
    return t;
}

static void bench_binary(const tody_kernels *kernels) {
    timed t = timed_rows(kernels);
    printf("  add %.3f ns", time_of(run_binary, &t) * 1e9 / (double)LENGTH);
    t.binary.fn2 = TODY_FN2_MUL;
    printf("  mul %.3f ns", time_of(run_binary, &t) * 1e9 / (double)LENGTH);
}

static void bench_lut(const tody_kernels *kernels) {
    timed t = timed_rows(kernels);
    printf("  %.3f ns", time_of(run_lut, &t) * 1e9 / (double)LENGTH);
}

static void bench_sum(const tody_kernels *kernels) {
    timed t = timed_rows(kernels);
    printf("  9 taps 96 channels %.3f ns/input", time_of(run_sum, &t) * 1e9 / (double)(96 * TAPS));
}

static void bench_max(const tody_kernels *kernels) {
    timed t = timed_rows(kernels);
    printf("  9 taps 96 channels %.3f ns/input", time_of(run_max, &t) * 1e9 / (double)(96 * TAPS));
}

const slot integer_slots[] = {
    {"gemm_s8", offsetof(tody_kernels, gemm_s8), check_gemm, bench_gemm},
    {"dwconv_s8", offsetof(tody_kernels, dwconv_s8), check_dwconv, bench_dwconv},
    {"binary_s8", offsetof(tody_kernels, binary_s8), check_binary, bench_binary},
    {"lut_s8", offsetof(tody_kernels, lut_s8), check_lut, bench_lut},
    {"sum_s8", offsetof(tody_kernels, sum_s8), check_sum, bench_sum},
    {"max_s8", offsetof(tody_kernels, max_s8), check_max, bench_max},
    {NULL, 0, NULL, NULL},
};
