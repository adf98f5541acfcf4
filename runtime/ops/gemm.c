// gemm.c - rows times weight panels: what threads share of a product, in blocks of rows and parts of the panels.
// SPDX-License-Identifier: Apache-2.0
#include "gemm.h"

#include "block.h"

enum {
    TASK_PRODUCTS = 200000,  // multiplications below which another thread costs more than it saves
    TASKS_PER_THREAD = 4,    // so that a slow core does not keep the others waiting
    LEAST_ROWS = 8,          // fewer rows take as long: the time goes into fetching weights
    LINE_PRICE = 4,          // of a cache line that another core has written, where one that was only read costs 1
};

// How a product is cut: blocks of rows, and parts of so many panels; with groups beside, of so many groups.
typedef struct cut {
    uint32_t blocks, part_units, parts, units;
} cut;

typedef struct job {
    tody_blocks blocks;
    size_t thread_bytes;  // of scratch
    cut cut;
} job;

// Panels of a full tile.
static uint32_t most_panels(const tody_kernels *k, tody_dtype dtype) {
    return tody_is_f32(dtype) ? k->gemm_f32_panels : tody_is_s16(dtype) ? k->gemm_s16_panels : k->gemm_s8_panels;
}

size_t tody_gemm_scratch(const tody_call *call, tody_dtype dtype, uint32_t taps, uint32_t depth) {
    const uint64_t bytes = tody_block_bytes(call->kernels, dtype, taps, depth, call->pointer_bytes);
    return tody_scratch_bytes(bytes * tody_threads(call));
}

void tody_gather_matrix(const void *matrix, uint32_t first, uint32_t rows, const void **a) {
    const tody_matrix *m = matrix;
    for (uint32_t i = 0; i < rows; i++) a[i] = (const uint8_t *)m->data + (first + i) * m->stride_bytes;
}

void tody_gather_pixels(const void *slide, uint32_t first, uint32_t rows, const void **a) {
    const tody_slide *s = slide;
    for (uint32_t i = 0; i < rows; i++) a[i] = s->x + (first + i) * s->pixel_bytes;
}

// Blocks of rows. The same number for each thread where there is work for all: each then has the same rows of an image in one
// operator after the other, and its cache holds them. Where all rows fit one block, weights that are much larger than the
// images are rather dealt out by columns, so that every core reads its own ones only.
static uint32_t count_blocks(const tody_kernels *k, const tody_gemm *g, const tody_lines *lines, uint32_t threads,
                             uint32_t wanted) {
    const uint32_t units = lines->lines ? tody_lines_units(lines, g) : g->rows / tody_block_tile(k, g->dtype);
    const uint32_t blocks =
        lines->lines ? tody_div_up(units, lines->lines) : tody_div_up(g->rows, tody_block_rows(k, g->dtype, g->taps, g->depth));
    const uint32_t even = tody_div_up(blocks, threads) * threads;
    const uint64_t weights = (uint64_t)g->cols * g->taps * g->depth, images = (uint64_t)g->rows * (g->depth + g->cols);
    if (wanted < threads || even > units) return blocks;
    return blocks == 1 && weights > LINE_PRICE * images ? 1 : even;
}

static cut cut_product(const tody_kernels *k, const tody_gemm *g, const tody_lines *lines, uint32_t threads) {
    const uint32_t together = g->beside ? 1 : most_panels(k, g->dtype);
    const uint64_t weights = (uint64_t)g->cols * g->taps * g->depth * (g->beside + 1);
    const uint64_t products = weights * tody_max_u32(g->rows, LEAST_ROWS);
    const uint32_t most = threads > 1 ? threads * TASKS_PER_THREAD : 1;
    uint32_t wanted = 0;
    while (wanted < most && products >= (uint64_t)TASK_PRODUCTS * (wanted + 1)) wanted++;
    cut c = {.blocks = count_blocks(k, g, lines, threads, wanted), .parts = 1};
    c.units = g->beside ? g->beside + 1 : tody_div_up(g->cols, TODY_PANEL);
    if (c.blocks < wanted) c.parts = tody_min_u32(tody_div_up(wanted, c.blocks), c.units);
    c.part_units = tody_div_up(tody_div_up(c.units, c.parts), together) * together;
    c.parts = tody_div_up(c.units, c.part_units);
    return c;
}

// Where block `block` begins: rows of int8 are dealt out by whole tiles, packed ones of float32 if none can be left alone.
static uint32_t block_begin(const job *job, uint32_t block) {
    const tody_gemm *g = job->blocks.gemm;
    const uint32_t tile = tody_block_tile(job->blocks.kernels, g->dtype);
    if (job->blocks.lines.lines)
        return tody_lines_begin(&job->blocks.lines, g,
                                tody_share(tody_lines_units(&job->blocks.lines, g), block, job->cut.blocks));
    const bool enough = tody_block_packs_f32(job->blocks.kernels, g->dtype) && g->rows / 2 / tile >= job->cut.blocks;
    const uint32_t unit = enough || tody_is_s8(g->dtype) ? tile : 1;
    return tody_min_u32(tody_share(tody_div_up(g->rows, unit), block, job->cut.blocks) * unit, g->rows);
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->blocks.gemm;
    const cut *c = &job->cut;
    const uint32_t block = task / c->parts, first = block_begin(job, block);
    const uint32_t rows = block_begin(job, block + 1) - first;
    const uint32_t from = task % c->parts * c->part_units, end = tody_min_u32(from + c->part_units, c->units);
    const void **a = (const void **)(void *)((uint8_t *)g->pointers + thread * job->thread_bytes);
    tody_block_run(&job->blocks, first, rows, from, end, a);
}

static job make_job(const tody_call *call, const tody_gemm *g, uint32_t threads) {
    const tody_kernels *k = call->kernels;
    const tody_blocks blocks = tody_blocks_of(k, g);
    const size_t bytes = tody_block_bytes(k, g->dtype, g->taps, g->depth, sizeof(const void *));
    return (job){blocks, bytes, cut_product(k, g, &blocks.lines, threads)};
}

void tody_gemm_run(const tody_call *call, const tody_gemm *gemm) {
    job job = make_job(call, gemm, tody_threads(call));
    tody_for(call, job.cut.blocks * job.cut.parts, run_task, &job);
}

void tody_gemm_here(const tody_call *call, const tody_gemm *gemm, uint32_t thread) {
    job job = make_job(call, gemm, 1);
    job.cut.parts = 1;
    job.cut.part_units = job.cut.units;
    for (uint32_t block = 0; block < job.cut.blocks; block++) run_task(&job, block, thread);
}

static const void *forward(const void *p, size_t bytes) { return p ? (const uint8_t *)p + bytes : NULL; }

tody_gemm tody_gemm_group(const tody_gemm *gemm, uint32_t g, uint32_t taps) {
    tody_gemm group = *gemm;
    const size_t panels = g * tody_panels_length(gemm->cols);
    const size_t columns_bytes = (size_t)g * gemm->cols * tody_dtype_bytes(gemm->dtype);
    const size_t panels_bytes = tody_gemm_is_f16(gemm) ? panels / TODY_PANEL * gemm->w_stride_bytes
                                                       : g * tody_panels_bytes(gemm->dtype, gemm->cols, taps, gemm->depth);
    group.w = forward(gemm->w, panels_bytes);
    group.c = (uint8_t *)gemm->c + columns_bytes;
    group.addend = forward(gemm->addend, columns_bytes);
    group.outside = forward(gemm->outside, (size_t)g * gemm->depth * tody_dtype_bytes(gemm->dtype));
    group.bias = forward(gemm->bias, panels * sizeof(float));  // or int32
    group.scale = gemm->scale ? gemm->scale + panels : NULL;
    return group;
}
