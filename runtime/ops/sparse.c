// sparse.c - rows times blocks of weights: tiles of rows, for each of them chunk after chunk of its words, and all channels.
// SPDX-License-Identifier: Apache-2.0
#include "sparse.h"

#include "core/blocks.h"
#include "shape.h"

typedef struct job {
    const tody_gemm *gemm;
    const tody_kernels *kernels;
    tody_blocks blocks;
    int32_t *start;   // of each channel, for whole panels
    uint8_t *thread;  // what follows, once for each thread
    size_t thread_bytes;
    uint32_t tiles, parts, panels;
} job;

// What a task needs in memory.
typedef struct room {
    int8_t *words;   // of a chunk
    int32_t *sums;   // of all channels
    const void **a;  // rows of a tile
} room;

static size_t words_bytes(const tody_kernels *k) { return (size_t)TODY_CHUNK * k->sparse_s8_rows * TODY_GROUP_S8; }

static size_t sums_bytes(const tody_kernels *k, uint32_t cols) {
    return tody_panels_length(cols) * k->sparse_s8_rows * sizeof(int32_t);
}

static size_t start_bytes(uint32_t cols) { return tody_scratch_bytes(tody_panels_length(cols) * sizeof(int32_t)); }

static uint64_t thread_bytes(const tody_kernels *k, uint32_t cols, uint32_t taps, size_t pointer_bytes) {
    const uint64_t pointers = (uint64_t)taps * k->sparse_s8_rows * pointer_bytes;
    return (words_bytes(k) + (uint64_t)sums_bytes(k, cols) + pointers + TODY_ALIGN - 1) / TODY_ALIGN * TODY_ALIGN;
}

size_t tody_sparse_scratch(const tody_call *call, uint32_t cols, uint32_t taps) {
    const uint64_t bytes = thread_bytes(call->kernels, cols, taps, call->pointer_bytes);
    return tody_scratch_bytes(start_bytes(cols) + bytes * tody_threads(call));
}

static room room_of(const job *job, uint32_t thread) {
    uint8_t *at = job->thread + thread * job->thread_bytes;
    int32_t *sums = (int32_t *)(void *)(at + words_bytes(job->kernels));
    return (room){(int8_t *)at, sums, (const void **)(void *)((uint8_t *)sums + sums_bytes(job->kernels, job->gemm->cols))};
}

// What x_zero and the shift of the words add to a sum is the same for all rows.
static void make_starts(const job *job) {
    const tody_gemm *g = job->gemm;
    const uint32_t zero = (uint32_t)(g->layer.x_zero + job->kernels->sparse_s8_shift);
    const int32_t *bias = g->bias;
    for (uint32_t n = 0; n < g->cols; n++) {
        job->start[n] = (int32_t)((bias ? (uint32_t)bias[n] : 0) - zero * (uint32_t)job->blocks.sums[n]);
    }
}

// The words of a chunk, which may begin and end within taps.
static void gather_words(const job *job, const room *room, uint32_t rows, uint32_t chunk) {
    const tody_gemm *g = job->gemm;
    const uint32_t groups = tody_div_up(g->depth, TODY_GROUP_S8), from = chunk * TODY_CHUNK;
    const uint32_t to = tody_min_u32(from + TODY_CHUNK, g->taps * groups);
    tody_words_s8 args = {.rows = rows, .x_zero = g->layer.x_zero};
    for (uint32_t word = from; word < to;) {
        const uint32_t tap = word / groups, group = word % groups, count = tody_min_u32(groups - group, to - word);
        args.a = (const int8_t *const *)room->a + (size_t)tap * rows;
        args.first = group * TODY_GROUP_S8;
        args.count = tody_min_u32(count * TODY_GROUP_S8, g->depth - args.first);
        args.words = room->words + (size_t)(word - from) * job->kernels->sparse_s8_rows * TODY_GROUP_S8;
        job->kernels->words_s8(&args);
        word += count;
    }
}

static tody_sparse_s8 panel_args(const job *job, const room *room, uint32_t chunk, uint32_t panel) {
    const tody_gemm *g = job->gemm;
    const uint32_t column = panel * TODY_PANEL;
    return (tody_sparse_s8){
        .cols = tody_min_u32(g->cols - column, TODY_PANEL),
        .words = room->words,
        .starts = job->blocks.starts + (size_t)chunk * g->cols + column,
        .places = job->blocks.places,
        .w = job->blocks.w,
        .more = chunk > 0,
        .start = job->start + column,
        .sums = room->sums + (size_t)column * job->kernels->sparse_s8_rows,
        .scale = g->scale + column,
        .addend_stride = g->addend_stride,
        .c_stride = g->c_stride,
        .layer = g->layer,
    };
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->gemm;
    const uint32_t tile = task / job->parts, part = task % job->parts;
    const uint32_t first = tody_share(g->rows, tile, job->tiles), rows = tody_share(g->rows, tile + 1, job->tiles) - first;
    const uint32_t begin = tody_share(job->panels, part, job->parts), end = tody_share(job->panels, part + 1, job->parts);
    const room room = room_of(job, thread);
    g->gather(g->source, first, rows, room.a);
    for (uint32_t chunk = 0; chunk < job->blocks.chunks; chunk++) {
        gather_words(job, &room, rows, chunk);
        for (uint32_t panel = begin; panel < end; panel++) {
            tody_sparse_s8 args = panel_args(job, &room, chunk, panel);
            const size_t column = (size_t)panel * TODY_PANEL;
            args.rows = rows;
            if (chunk + 1 == job->blocks.chunks) {
                args.c = (int8_t *)g->c + first * g->c_stride + column;
                args.addend = g->addend ? (const int8_t *)g->addend + first * g->addend_stride + column : NULL;
            }
            job->kernels->sparse_s8(&args);
        }
    }
}

void tody_sparse_run(const tody_call *call, const tody_gemm *g) {
    const tody_kernels *k = call->kernels;
    uint8_t *scratch = (uint8_t *)(void *)g->pointers;
    const uint32_t words = g->taps * tody_div_up(g->depth, TODY_GROUP_S8);
    job job = {
        .gemm = g,
        .kernels = k,
        .blocks = tody_blocks_of(g->w, g->cols, words),
        .start = (int32_t *)(void *)scratch,
        .thread = scratch + start_bytes(g->cols),
        .thread_bytes = (size_t)thread_bytes(k, g->cols, g->taps, sizeof(const void *)),
        .tiles = tody_div_up(g->rows, k->sparse_s8_rows),
        .panels = tody_div_up(g->cols, TODY_PANEL),
    };
    job.parts = tody_min_u32(tody_div_up(tody_threads(call), job.tiles), job.panels);
    make_starts(&job);
    tody_for(call, job.tiles * job.parts, run_task, &job);
}
