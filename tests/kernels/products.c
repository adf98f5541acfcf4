// products.c - checks of the slots that sum products over taps: gemm, dwconv, pooling, blend.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "floats.h"

enum { MAX_TERMS = 4096, MAX_RESULTS = 4 * 20 * 100, MORE_PANELS = 5, MORE_TILES = 4 };

static double bounds[MAX_RESULTS];  // of the results of one case

static void bound_gemm(const tody_gemm_f32 *g) {
    for (uint32_t i = 0; i < (g->more + 1) * g->rows; i++) {
        const float *const *a = g->a + i / g->rows * g->a_step + i % g->rows;
        for (uint32_t j = 0; j < g->cols; j++) {
            double sum =
                (g->bias ? fabs((double)g->bias[j]) : 0) + (g->addend ? fabs((double)g->addend[i * g->addend_stride + j]) : 0);
            for (size_t t = 0; t < g->taps; t++) {
                for (size_t k = 0; k < g->depth; k++) {
                    const float w = g->w[j / 16 * g->w_stride + (t * g->depth + k) * 16 + j % 16];
                    sum += fabs((double)a[t * g->rows][k] * (double)w);
                }
            }
            bounds[i * g->cols + j] = bound_of(sum, (size_t)g->taps * g->depth);
        }
    }
}

// Panel by panel.
static void gemm_portable(tody_gemm_f32 g) {
    for (uint32_t cols = g.cols; cols > 0; cols -= g.cols) {
        g.cols = cols < 16 ? cols : 16;
        tody_kernels_portable.gemm_f32(&g);
        g.w += g.w_stride;
        g.c += 16;
        if (g.bias) g.bias += 16;
        if (g.addend) g.addend += 16;
    }
}

// The rows of `g` as the set wants them, among others that are packed together with them, tile after tile.
static void pack_gemm(const tody_kernels *set, dice *r, tody_gemm_f32 *g) {
    if (!set->pack_f32 || g->rows == 1) return;
    const uint32_t more = random_below(r, set->gemm_f32_rows - g->rows + 1), before = random_below(r, more + 1);
    const uint32_t rows = g->rows + more;
    const size_t step = (size_t)g->taps * rows * ((g->depth + 3) / 4 * 4) + random_below(r, 2) * 8;
    float *packed = memory_floats(r, (g->more + 1) * step);
    const float **a = pointers_take(r, (size_t)g->taps * rows, g->depth);
    for (uint32_t i = 0; i <= g->more; i++) {
        const float *const *tile = g->a + i * g->a_step;
        for (uint32_t t = 0; t < g->taps; t++) memcpy(a + t * rows + before, tile + t * g->rows, g->rows * sizeof *a);
        const tody_pack_f32 pack = {rows, g->taps, g->depth, a, {packed + i * step}};
        set->pack_f32(&pack);
    }
    g->packed = packed + before * 4;
    g->packed_rows = rows;
    g->a_step = step;
}

// The addend is absent, elsewhere, or what the result overwrites.
static bool check_gemm(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_gemm_f32 g = {.taps = 1};
    const uint32_t panels = 1 + random_below(&r, set->gemm_f32_bytes ? MORE_PANELS : set->gemm_f32_panels);
    g.cols = panels * 16 - (random_below(&r, 2) ? random_below(&r, 16) : 0);
    g.rows = 1 + random_below(&r, set->gemm_f32_rows);
    if (random_below(&r, 2) && !(set->pack_f32 && g.rows == 1)) g.more = random_below(&r, MORE_TILES);
    if (random_below(&r, 2)) g.taps = 1 + random_below(&r, 10);
    g.depth = 1 + random_below(&r, MAX_TERMS / 16 / g.taps);
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20);
    const uint32_t rows = (g.more + 1) * g.rows;
    describe("rows %u more %u cols %u taps %u depth %u addend %u gap %u", g.rows, g.more, g.cols, g.taps, g.depth, addend, gap);
    pick_clamp(&r, &g.lo, &g.hi);
    g.a_step = (size_t)g.taps * g.rows + random_below(&r, 2) * 3;
    g.a = pointers_take(&r, (g.more + 1) * g.a_step, g.depth);
    g.w_stride = (size_t)g.taps * g.depth * 16 + random_below(&r, 2) * 48;
    g.w = memory_floats(&r, (panels - 1) * g.w_stride + (size_t)g.taps * g.depth * 16);
    g.next = g.w;
    if (random_below(&r, 2)) g.bias = memory_floats(&r, panels * 16);
    g.addend_stride = g.c_stride = g.cols + gap;
    const output o = output_take(&r, rows, g.cols, g.c_stride);
    if (addend == 1) g.addend = memory_floats(&r, (rows - 1) * g.addend_stride + g.cols);
    if (addend == 2) g.addend = o.want;
    bound_gemm(&g);
    g.c = o.want;
    gemm_portable(g);
    if (addend == 2) g.addend = o.got;
    g.c = o.got;
    pack_gemm(set, &r, &g);
    set->gemm_f32(&g);
    return output_same(&o, bounds);
}

// Results in one row after the other, whatever lies between the rows.
static void bound_dwconv(const tody_dwconv_f32 *d) {
    for (size_t i = 0; i < (size_t)d->rows * d->pixels * d->channels; i++) {
        const size_t k = i % d->channels, p = i / d->channels % d->pixels, r = i / d->channels / d->pixels;
        double sum = d->bias ? fabs((double)d->bias[k]) : 0;
        if (d->addend) sum += fabs((double)d->addend[r * d->addend_row + p * d->addend_stride + k]);
        for (size_t t = 0; t < (size_t)d->height * d->width; t++) {
            const float *a = d->a[(r * d->down + t / d->width) * d->a_stride + p * d->step + t % d->width];
            sum += fabs((double)a[k] * (double)d->w[t * d->w_stride + k]);
        }
        bounds[i] = bound_of(sum, d->height * d->width);
    }
}

// The grid of pointers to `channels` values under all windows, whose last row ends where memory does. Of some grids most pixels
// of a line are neighbours, as in an image.
static void grid_take(dice *r, tody_dwconv_f32 *d, uint32_t strip) {
    const uint32_t lines = (d->rows - 1) * d->down + d->height, pixels = (d->pixels + strip - 1) / strip * strip;
    const size_t columns = (size_t)(pixels - 1) * d->step + d->width;
    d->a_stride = columns + random_below(r, 3);
    const float **a = pointers_take(r, (lines - 1) * d->a_stride + columns, d->channels);
    d->a = a;
    if (random_below(r, 3) == 0) return;
    const uint32_t before = random_below(r, 2), after = random_below(r, 5);
    const float *image = memory_floats(r, columns * d->channels + lines);
    for (size_t i = 0; i < lines; i++) {
        for (size_t j = before; j + after < columns; j++) a[i * d->a_stride + j] = image + i + j * d->channels;
    }
}

static bool check_dwconv(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const window w = random_window(&r);
    tody_dwconv_f32 d = {.rows = 1 + random_below(&r, 4), .pixels = 1 + random_below(&r, 20), .height = w.height};
    d.channels = 1 + random_below(&r, 100);
    d.width = w.width;
    d.step = w.step;
    d.down = 1 + random_below(&r, w.height);
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20), taps = w.height * w.width;
    describe("rows %u pixels %u channels %u window %u %u step %u %u addend %u gap %u", d.rows, d.pixels, d.channels, d.height,
             d.width, d.down, d.step, addend, gap);
    pick_clamp(&r, &d.lo, &d.hi);
    grid_take(&r, &d, set->dwconv_f32_strip);
    d.w_stride = d.channels + random_below(&r, 2) * 16;
    d.w = memory_floats(&r, (taps - 1) * d.w_stride + d.channels);
    if (random_below(&r, 2)) d.bias = memory_floats(&r, d.channels);
    d.addend_stride = d.c_stride = d.channels + gap;
    d.addend_row = d.c_row = d.pixels * d.c_stride;
    const output o = output_take(&r, (size_t)d.rows * d.pixels, d.channels, d.c_stride);
    if (addend == 1) d.addend = memory_floats(&r, (d.rows * d.pixels - 1) * d.addend_stride + d.channels);
    if (addend == 2) d.addend = o.want;
    bound_dwconv(&d);
    d.c = o.want;
    tody_kernels_portable.dwconv_f32(&d);
    if (addend == 2) d.addend = o.got;
    d.c = o.got;
    set->dwconv_f32(&d);
    return output_same(&o, bounds);
}

static tody_pool_f32 random_pool(dice *r) {
    tody_pool_f32 p = {.pixels = 1 + random_below(r, 8), .channels = 1 + random_below(r, 100), .taps = 1 + random_below(r, 12)};
    if (random_below(r, 4) == 0) p.taps = 1 + random_below(r, 60);
    p.c_stride = p.channels + random_below(r, 20);
    describe("pixels %u channels %u taps %u stride %zu", p.pixels, p.channels, p.taps, p.c_stride);
    p.a = pointers_take(r, (size_t)p.pixels * p.taps, p.channels);
    p.scale = memory_floats(r, p.pixels);
    return p;
}

static bool check_max_pool(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_pool_f32 p = random_pool(&r);
    const output o = output_take(&r, p.pixels, p.channels, p.c_stride);
    p.c = o.want;
    tody_kernels_portable.max_pool_f32(&p);
    p.c = o.got;
    set->max_pool_f32(&p);
    return output_same(&o, NULL);
}

static bool check_sum_pool(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_pool_f32 p = random_pool(&r);
    const output o = output_take(&r, p.pixels, p.channels, p.c_stride);
    for (size_t i = 0; i < (size_t)p.pixels * p.channels; i++) {
        const size_t pixel = i / p.channels, k = i % p.channels;
        double sum = 0;
        for (size_t t = 0; t < p.taps; t++) sum += fabs((double)p.a[pixel * p.taps + t][k]);
        bounds[i] = bound_of(sum * fabs((double)p.scale[pixel]), p.taps);
    }
    p.c = o.want;
    tody_kernels_portable.sum_pool_f32(&p);
    p.c = o.got;
    set->sum_pool_f32(&p);
    return output_same(&o, bounds);
}

static bool check_blend(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t taps = 1 + random_below(&r, 6), count = 1 + random_below(&r, 500);
    describe("taps %u count %u", taps, count);
    const float **a = pointers_take(&r, taps, count), *w = memory_floats(&r, taps);
    const output o = output_take(&r, 1, count, count);
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t t = 0; t < taps; t++) sum += fabs((double)a[t][i] * (double)w[t]);
        bounds[i] = bound_of(sum, taps);
    }
    tody_kernels_portable.blend_f32(a, w, taps, o.want, count);
    set->blend_f32(a, w, taps, o.got, count);
    return output_same(&o, bounds);
}

// The fixed shapes of the benchmark.

typedef struct timed {
    const tody_kernels *kernels;
    tody_gemm_f32 gemm;
    tody_dwconv_f32 dwconv;
    tody_pool_f32 pool;
} timed;

// 48 rows by the panels of a tile, as an operator does it.
static void run_gemm(void *context) {
    const timed *t = context;
    tody_gemm_f32 g = t->gemm;
    const uint32_t tile = t->gemm.rows == 1 ? 1 : t->kernels->gemm_f32_rows;
    for (uint32_t row = 0; row < t->gemm.rows; row += tile) {
        g.rows = t->gemm.rows - row < tile ? t->gemm.rows - row : tile;
        g.a = t->gemm.a + row;
        g.c = t->gemm.c + row * g.c_stride;
        if (g.packed) g.packed = t->gemm.packed + row * g.depth;
        t->kernels->gemm_f32(&g);
    }
}

// Whole tiles of a depth that is a multiple of 4.
static void pack_gemm_tiles(const tody_kernels *set, dice *r, tody_gemm_f32 *g) {
    if (!set->pack_f32 || g->rows == 1) return;
    float *packed = memory_floats(r, (size_t)g->rows * g->depth);
    for (uint32_t row = 0; row < g->rows; row += set->gemm_f32_rows) {
        const tody_pack_f32 pack = {set->gemm_f32_rows, 1, g->depth, g->a + row, {packed + row * g->depth}};
        set->pack_f32(&pack);
    }
    g->packed = packed;
    g->packed_rows = set->gemm_f32_rows;
}

static void bench_gemm(const tody_kernels *kernels) {
    static const uint32_t shapes[][2] = {{48, 16}, {48, 64}, {48, 512}, {1, 512}};
    const uint32_t cols = kernels->gemm_f32_panels * 16;
    for (size_t i = 0; i < 4; i++) {
        dice r = random_from(i);
        timed t = {.kernels = kernels,
                   .gemm = {.rows = shapes[i][0], .cols = cols, .taps = 1, .depth = shapes[i][1], .c_stride = cols}};
        memory_reset();
        t.gemm.a = pointers_take(&r, t.gemm.rows, t.gemm.depth);
        t.gemm.w_stride = t.gemm.depth * 16;
        t.gemm.w = memory_floats(&r, t.gemm.depth * cols);
        t.gemm.next = t.gemm.w;
        t.gemm.c = memory_floats(&r, t.gemm.rows * cols);
        pack_gemm_tiles(kernels, &r, &t.gemm);
        t.gemm.lo = -INFINITY;
        t.gemm.hi = INFINITY;
        const double products = (double)cols * t.gemm.rows * t.gemm.depth;
        printf("  %ux%ux%u %.1f GMAC/s", t.gemm.rows, cols, t.gemm.depth, products / time_of(run_gemm, &t) * 1e-9);
    }
}

static void run_dwconv(void *context) {
    const timed *t = context;
    t->kernels->dwconv_f32(&t->dwconv);
}

static void bench_dwconv(const tody_kernels *kernels) {
    static const uint32_t shapes[][3] = {{3, 1, 16}, {3, 1, 96}, {3, 2, 96}, {5, 1, 96}};  // window, step, channels
    for (size_t i = 0; i < 4; i++) {
        dice r = random_from(i);
        const uint32_t size = shapes[i][0], step = shapes[i][1], taps = size * size;
        timed t = {.kernels = kernels, .dwconv = {.rows = 4, .pixels = 16, .channels = shapes[i][2]}};
        tody_dwconv_f32 *d = &t.dwconv;
        d->height = d->width = size;
        d->down = d->step = step;
        memory_reset();
        grid_take(&r, d, kernels->dwconv_f32_strip);
        d->w = memory_floats(&r, taps * d->channels);
        d->c = memory_floats(&r, d->rows * d->pixels * d->channels);
        d->w_stride = d->c_stride = d->channels;
        d->c_row = d->pixels * d->channels;
        d->lo = -INFINITY;
        d->hi = INFINITY;
        const double products = (double)d->rows * d->pixels * d->channels * taps;
        printf("  %ux%u/%u %u channels %.1f GMAC/s", size, size, step, d->channels, products / time_of(run_dwconv, &t) * 1e-9);
    }
}

static void run_max_pool(void *context) {
    const timed *t = context;
    t->kernels->max_pool_f32(&t->pool);
}

static void run_sum_pool(void *context) {
    const timed *t = context;
    t->kernels->sum_pool_f32(&t->pool);
}

static void bench_pool(const tody_kernels *kernels, void (*run)(void *context)) {
    dice r = random_from(1);
    timed t = {.kernels = kernels, .pool = {.pixels = 32, .channels = 64, .taps = 9, .c_stride = 64}};
    t.pool.a = pointers_take(&r, 32 * 9, 64);
    t.pool.scale = memory_floats(&r, 32);
    t.pool.c = memory_floats(&r, 32 * 64);
    printf("  9 taps 64 channels %.3f ns/input", time_of(run, &t) * 1e9 / (32 * 64 * 9));
}

static void bench_max_pool(const tody_kernels *kernels) { bench_pool(kernels, run_max_pool); }
static void bench_sum_pool(const tody_kernels *kernels) { bench_pool(kernels, run_sum_pool); }

static void run_blend(void *context) {
    const timed *t = context;
    t->kernels->blend_f32(t->pool.a, t->pool.scale, t->pool.taps, t->pool.c, t->pool.channels);
}

static void bench_blend(const tody_kernels *kernels) {
    dice r = random_from(1);
    timed t = {.kernels = kernels, .pool = {.channels = 2048, .taps = 4}};
    t.pool.a = pointers_take(&r, 4, 2048);
    t.pool.scale = memory_floats(&r, 4);
    t.pool.c = memory_floats(&r, 2048);
    printf("  4 taps %.3f ns/output", time_of(run_blend, &t) * 1e9 / 2048);
}

const slot product_slots[] = {
    {"gemm_f32", offsetof(tody_kernels, gemm_f32), check_gemm, bench_gemm},
    {"dwconv_f32", offsetof(tody_kernels, dwconv_f32), check_dwconv, bench_dwconv},
    {"max_pool_f32", offsetof(tody_kernels, max_pool_f32), check_max_pool, bench_max_pool},
    {"sum_pool_f32", offsetof(tody_kernels, sum_pool_f32), check_sum_pool, bench_sum_pool},
    {"blend_f32", offsetof(tody_kernels, blend_f32), check_blend, bench_blend},
    {NULL, 0, NULL, NULL},
};
