// winograd_s8.c - checks of convolution in int8 by Winograd's way: against products of the direct way, which portable makes.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "integers.h"

enum { TILE = 4, EDGE = 6, RESULTS = TILE * TILE, POSITIONS = EDGE * EDGE, TAPS = 9, MOST_CHANNELS = 100, MOST_COLS = 40 };

// G of F(4, 3), times 24, but for its last row, times 6.
static const int32_t points[EDGE][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};

static size_t up_to(size_t count, size_t multiple) { return (count + multiple - 1) / multiple * multiple; }

static int16_t weight_at(const int8_t *w, uint32_t channels, uint32_t k, uint32_t j, uint32_t p) {
    const size_t groups = up_to(channels, 4) / 4;
    int32_t sum = 0;
    for (uint32_t t = 0; t < TAPS; t++) {
        const size_t group = (j / 16 * TAPS + t) * groups + k / 4;
        sum += points[p / EDGE][t / 3] * points[p % EDGE][t % 3] * w[(group * 16 + j % 16) * 4 + k % 4];
    }
    return (int16_t)sum;
}

// What core/kernels.h says of u; behind the channels and columns zeros.
static int16_t *transform(const int8_t *w, uint32_t channels, uint32_t cols) {
    const size_t depth = up_to(channels, 8), columns = up_to(cols, 16);
    int16_t *u = memory_take(columns * POSITIONS * depth * sizeof *u);
    for (uint32_t j = 0; j < columns; j++) {
        for (uint32_t p = 0; p < POSITIONS; p++) {
            for (uint32_t k = 0; k < depth; k++) {
                const size_t at = (((size_t)j / 8 * POSITIONS + p) * depth + k) * 8 + j % 8;
                u[at] = k < channels && j < cols ? weight_at(w, channels, k, j, p) : 0;
            }
        }
    }
    return u;
}

// The pixels under each tap of each result: a[t * rows + i], for rows of a product.
static const int8_t **windows_of(const int8_t *const *a, uint32_t tiles) {
    const size_t rows = (size_t)tiles * RESULTS;
    const int8_t **b = memory_take(rows * TAPS * sizeof *b);
    for (size_t i = 0; i < rows; i++) {
        const size_t y = i % RESULTS / TILE, x = i % TILE;
        for (size_t t = 0; t < TAPS; t++) b[t * rows + i] = a[i / RESULTS * POSITIONS + (y + t / 3) * EDGE + x + t % 3];
    }
    return b;
}

// Results are shuffled; some have no place.
static size_t *places_take(dice *r, size_t count, size_t stride) {
    size_t *at = memory_take(count * sizeof *at);
    const size_t shift = random_below(r, (uint32_t)count);
    for (size_t i = 0; i < count; i++) at[i] = random_below(r, 8) ? (i + shift) % count * stride : TODY_NOWHERE;
    return at;
}

// Rows of the direct way: what is added comes from where results go, or from elsewhere, in the same places.
static void make_directly(tody_gemm_s8 *g, const tody_winograd_s8 *w, const int8_t *addend, int8_t *to) {
    int8_t *added = memory_take((size_t)g->rows * g->cols), *all = memory_take((size_t)g->rows * g->cols);
    for (size_t i = 0; addend && i < g->rows; i++) {
        if (w->at[i] != TODY_NOWHERE) memcpy(added + i * g->cols, addend + w->at[i], g->cols);
    }
    g->addend = addend ? added : NULL;
    g->addend_stride = g->c_stride = g->cols;
    g->c = all;
    run_panels_s8(g);
    for (size_t i = 0; i < g->rows; i++) {
        if (w->at[i] != TODY_NOWHERE) memcpy(to + w->at[i], all + i * g->cols, g->cols);
    }
}

static bool check_winograd(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    const uint32_t panels = (MOST_COLS + 15) / 16, addend = random_below(&r, 3);
    tody_winograd_s8 w = {.tiles = 1 + random_below(&r, set->winograd_s8_tiles), .layer = random_layer(&r)};
    w.channels = 1 + random_below(&r, MOST_CHANNELS);
    w.cols = 1 + random_below(&r, MOST_COLS);
    describe("tiles %u channels %u cols %u addend %u zero %d", w.tiles, w.channels, w.cols, addend, w.layer.x_zero);
    const size_t stride = w.cols + random_below(&r, 20), rows = (size_t)w.tiles * RESULTS;
    tody_gemm_s8 g = {.rows = (uint32_t)rows, .cols = w.cols, .taps = TAPS, .depth = w.channels, .layer = w.layer};
    w.a = rows_take(&r, (size_t)w.tiles * POSITIONS, w.channels, extreme);
    g.a = windows_of(w.a, w.tiles);
    g.w_stride = TAPS * up_to(w.channels, 4) * 16;
    g.w = bytes_take(&r, panels * g.w_stride, extreme);
    w.w = g.w;
    if (set->winograd_s8_bytes) w.u = transform(g.w, w.channels, w.cols);
    w.bias = g.bias = random_below(&r, 2) ? bias_take(&r, (size_t)panels * 16) : NULL;
    w.scale_stride = g.scale_stride = random_below(&r, 4) ? 16 : 0;
    w.scale = g.scale = scales_take(&r, (size_t)panels * 16, (double)TAPS * w.channels * (extreme ? 100 : 4), &w.layer);
    g.layer = w.layer;
    w.at = places_take(&r, rows, stride);
    w.work = memory_take((size_t)tody_winograd_work(w.tiles, w.channels));
    const bytes b = result_take(&r, rows, w.cols, stride);
    int8_t *elsewhere = bytes_take(&r, (rows - 1) * stride + w.cols, false);
    make_directly(&g, &w, addend == 0 ? NULL : addend == 1 ? elsewhere : b.want, b.want);
    w.addend = addend == 0 ? NULL : addend == 1 ? elsewhere : b.got;
    w.c = b.got;
    set->winograd_s8(&w);
    return result_same(&b);
}

static void run_winograd(void *context) {
    const tody_winograd_s8 *const *both = context;
    const tody_kernels *set = (const tody_kernels *)(const void *)both[1];
    set->winograd_s8(both[0]);
}

static void bench_winograd(const tody_kernels *kernels) {
    dice r = random_from(1);
    const uint32_t tiles = kernels->winograd_s8_tiles, channels = 64, cols = 64;
    size_t *at = memory_take(tiles * RESULTS * sizeof *at);
    for (size_t i = 0; i < tiles * RESULTS; i++) at[i] = i * cols;
    tody_winograd_s8 w = {.tiles = tiles, .channels = channels, .cols = cols, .scale_stride = 16, .at = at};
    w.a = rows_take(&r, (size_t)tiles * POSITIONS, channels, false);
    w.w = bytes_take(&r, (size_t)TAPS * channels * cols, false);
    if (kernels->winograd_s8_bytes) w.u = transform(w.w, channels, cols);
    w.scale = scales_take(&r, cols, 4.0 * TAPS * channels, NULL);
    w.work = memory_take((size_t)tody_winograd_work(tiles, channels));
    w.c = memory_take((size_t)tiles * RESULTS * cols);
    w.layer = (tody_layer_s8){.x_zero = -128, .finish = {-128, 127, 0}};
    const void *both[] = {&w, kernels};
    const double products = (double)tiles * RESULTS * TAPS * channels * cols;
    printf("  3x3x%ux%u %.1f GMAC/s of the direct way", channels, cols, products / time_of(run_winograd, both) * 1e-9);
}

const slot winograd_s8_slots[] = {
    {"winograd_s8", offsetof(tody_kernels, winograd_s8), check_winograd, bench_winograd},
    {NULL, 0, NULL, NULL},
};
