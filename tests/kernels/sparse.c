// sparse.c - checks of the int8 slots for weights in blocks: every byte equal to portable's.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "integers.h"

// Weights in blocks, in two chunks.
typedef struct sparse {
    uint32_t count[2];  // values of depth of each
    uint32_t starts[2][17];
    uint8_t *places[2];
    int8_t *w[2];
    int32_t start[16], sums[16];  // before any shift; of all weights
    const int8_t *const *a;
    tody_sparse_s8 args;
} sparse;

// Of each channel every word is there with one chance in so many.
static void fill_chunk(dice *r, sparse *s, uint32_t chunk, uint32_t cols, uint32_t odds, bool extreme) {
    const uint32_t words = (s->count[chunk] + 3) / 4;
    uint32_t blocks = 0;
    uint8_t places[16 * 128];
    for (uint32_t j = 0; j < cols; j++) {
        s->starts[chunk][j] = blocks;
        for (uint32_t p = 0; p < words; p++) {
            if (random_below(r, odds) == 0) places[blocks++] = (uint8_t)p;
        }
    }
    s->starts[chunk][cols] = blocks;
    s->places[chunk] = memory_take(blocks + 1);
    memcpy(s->places[chunk], places, blocks);
    s->w[chunk] = bytes_take(r, (size_t)blocks * 4, extreme);
    for (uint32_t j = 0; j < cols; j++) {
        for (uint32_t b = 4 * s->starts[chunk][j]; b < 4 * s->starts[chunk][j + 1]; b++) s->sums[j] += s->w[chunk][b];
    }
}

// Where a set keeps what it makes of rows.
typedef struct room {
    int8_t *words;
    int32_t *sums;
} room;

static room room_take(const tody_kernels *set) {
    const size_t tile = set->sparse_s8_rows;
    return (room){memory_take(128 * tile * 4), memory_take(16 * tile * sizeof(int32_t))};
}

// Both chunks of `rows` rows from `first` on by one set.
static void run_sparse(const tody_kernels *set, const sparse *s, const room *room, uint32_t first, uint32_t rows) {
    int8_t *c = s->args.c + first * s->args.c_stride;
    int32_t start[16] = {0};
    for (uint32_t j = 0; j < s->args.cols; j++) {
        start[j] =
            (int32_t)((uint32_t)s->start[j] - (uint32_t)(s->args.layer.x_zero + set->sparse_s8_shift) * (uint32_t)s->sums[j]);
    }
    tody_sparse_s8 g = s->args;
    g.rows = rows;
    g.start = start;
    g.words = room->words;
    g.sums = room->sums;
    for (uint32_t chunk = 0; chunk < 2; chunk++) {
        const tody_words_s8 take = {rows, chunk ? s->count[0] : 0, s->count[chunk], s->a + first, g.layer.x_zero, room->words};
        set->words_s8(&take);
        g.starts = s->starts[chunk];
        g.places = s->places[chunk];
        g.w = s->w[chunk];
        g.more = chunk == 1;
        g.c = chunk == 1 ? c : NULL;
        g.addend = chunk == 1 && s->args.addend ? s->args.addend + first * g.addend_stride : NULL;
        set->sparse_s8(&g);
    }
}

static bool check_sparse(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool extreme = random_below(&r, 4) == 0;
    const uint32_t rows = 1 + random_below(&r, set->sparse_s8_rows), odds = 1 + random_below(&r, 4);
    sparse s = {.args = {.cols = 1 + random_below(&r, 16), .layer = random_layer(&r)}};
    for (uint32_t i = 0; i < 2; i++) s.count[i] = 1 + random_below(&r, random_below(&r, 2) ? 40 : 512);
    const uint32_t addend = random_below(&r, 3), gap = random_below(&r, 20);
    describe("rows %u cols %u counts %u %u odds %u addend %u gap %u zeros %d %d", rows, s.args.cols, s.count[0], s.count[1],
             odds, addend, gap, s.args.layer.x_zero, s.args.layer.finish.zero);
    s.a = (const int8_t *const *)rows_take(&r, rows, s.count[0] + s.count[1], extreme);
    for (uint32_t i = 0; i < 2; i++) fill_chunk(&r, &s, i, s.args.cols, odds, extreme);
    for (uint32_t j = 0; j < 16; j++) s.start[j] = (int32_t)random_below(&r, 200001) - 100000;
    s.args.scale = scales_take(&r, 16, (double)(s.count[0] + s.count[1]) / odds * (extreme ? 100 : 4), &s.args.layer);
    s.args.addend_stride = s.args.c_stride = s.args.cols + gap;
    const bytes b = result_take(&r, rows, s.args.cols, s.args.c_stride);
    if (addend == 1) s.args.addend = bytes_take(&r, (rows - 1) * s.args.addend_stride + s.args.cols, false);
    if (addend == 2) s.args.addend = b.want;
    s.args.c = b.want;
    const uint32_t few = tody_kernels_portable.sparse_s8_rows;
    const room theirs = room_take(&tody_kernels_portable), mine = room_take(set);
    for (uint32_t row = 0; row < rows; row += few) {
        run_sparse(&tody_kernels_portable, &s, &theirs, row, rows - row < few ? rows - row : few);
    }
    if (addend == 2) s.args.addend = b.got;
    s.args.c = b.got;
    run_sparse(set, &s, &mine, 0, rows);
    return result_same(&b);
}

typedef struct timed_sparse {
    const tody_kernels *kernels;
    sparse sparse;
    room room;
} timed_sparse;

static void run_timed(void *context) {
    const timed_sparse *t = context;
    run_sparse(t->kernels, &t->sparse, &t->room, 0, t->kernels->sparse_s8_rows);
}

// A full tile of rows of 1024 values: every block, each second, each fourth.
static void bench_sparse(const tody_kernels *kernels) {
    const uint32_t rows = kernels->sparse_s8_rows;
    for (uint32_t odds = 1; odds <= 4; odds *= 2) {
        dice r = random_from(odds);
        timed_sparse t = {.kernels = kernels, .sparse = {.count = {512, 512}, .args = {.cols = 16, .c_stride = 16}}};
        memory_reset();
        t.room = room_take(kernels);
        t.sparse.a = (const int8_t *const *)rows_take(&r, rows, 1024 + 64, false);  // off the fence, as in bench_gemm
        for (uint32_t i = 0; i < 2; i++) fill_chunk(&r, &t.sparse, i, 16, odds, false);
        t.sparse.args.scale = scales_take(&r, 16, 1024, NULL);
        t.sparse.args.c = bytes_take(&r, (size_t)rows * 16, false);
        t.sparse.args.layer = (tody_layer_s8){.x_zero = -128, .finish = {-128, 127, 0}};
        printf("  %ux16x1024/%u %.1f GMAC/s", rows, odds, rows * 16.0 * 1024 / odds / time_of(run_timed, &t) * 1e-9);
    }
}

const slot sparse_slots[] = {
    {"sparse_s8", offsetof(tody_kernels, sparse_s8), check_sparse, bench_sparse},
    {NULL, 0, NULL, NULL},
};
