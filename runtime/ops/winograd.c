// winograd.c - convolution with fewer multiplications: blocks of transformed tiles that stay in cache, a matrix product for
// each position of a tile and each phase of the image, and back. Where weights are fleeting all tiles are one block, and
// threads share out the output channels.
// SPDX-License-Identifier: Apache-2.0
#include "winograd.h"

#include "f16.h"
#include "winograd_fold.h"
#include "winograd_weights.h"

typedef tody_winograd_job job;
typedef tody_winograd_block block;

tody_tiling tody_winograd_tiling(const tody_kernels *kernels, const tody_window *window, const tody_tensor *y, uint32_t depth,
                                 uint32_t tile) {
    const tody_tiling tiling = tody_tiling_of(window, tile);
    const bool is_short = tiling.step > 1 && tiling.kernel * tiling.kernel * depth < kernels->winograd_phases;
    const bool is_small = tiling.fleeting && tody_count_tiles(y, tiling.tile) < kernels->winograd_fleeting;
    return !is_short && !is_small ? tiling : (tody_tiling){0};
}

// Of all threads' tiles.
static uint64_t blocks_bytes(const tody_call *call, const tody_tiles *g) {
    return tody_scratch_bytes(tody_tiles_bytes(g)) * (uint64_t)tody_threads(call);
}

size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling) {
    const tody_tiles g = tody_tiles_of(call, w, y, tiling);
    return tody_scratch_bytes(blocks_bytes(call, &g) + tody_fold_bytes(&g, &tiling, w->shape[3]));
}

static size_t output_at(const job *job, const tody_tile_place *at) {
    const size_t line = (size_t)at->image * job->slide->out_height + at->y;
    return (line * job->slide->out_width + at->x) * job->gemm->c_stride;
}

// The pixels of a phase: the window of its first tap is as large as the square, step by step.
static tody_slide slide_over(const job *job, uint32_t i) {
    const tody_phase phase = tody_phase_of(&job->tiling, i);
    const uint32_t edge = job->tiling.edge, step = job->tiling.step;
    tody_slide slide = *job->slide;
    slide.window.kernel[0] = slide.window.kernel[1] = edge;
    slide.window.dilation[0] = slide.window.dilation[1] = step;
    slide.window.pad[0] -= phase.y;  // may go below 0, modulo 2^32
    slide.window.pad[1] -= phase.x;
    return slide;
}

// The square of a tile, which begins before the tile's first output if that is not its first.
static void find_pixels(const job *job, const tody_slide *phase, const tody_tile_place *at, const void **pixels) {
    tody_slide slide = *phase;
    slide.window.pad[0] += at->top * slide.window.stride[0];
    slide.window.pad[1] += at->left * slide.window.stride[1];
    tody_slide_grid(&slide, at->image * slide.out_height + at->y, 1, at->x, 1, job->tiling.edge, pixels);
}

// Rows of the products, those of each kernel's tile together if the kernel set packs.
static void transform_phase(const job *job, uint32_t phase, const block *b) {
    const tody_tiles *g = &job->tiles;
    const tody_kernels *k = job->call->kernels;
    const tody_slide slide = slide_over(job, phase);
    const tody_span all = {0, b->count};
    const void *pixels[TODY_MAX_WINOGRAD_EDGE * TODY_MAX_WINOGRAD_EDGE];
    const tody_groups groups = tody_groups_of(k, all);
    tody_span group = tody_group_at(&groups, 0, 0);
    for (uint32_t t = 0, number = 0; t < b->count; t++) {
        if (t == group.end) group = tody_group_at(&groups, ++number, 0);
        const uint32_t step = tody_packs_f32(k) ? group.end - group.begin : 1;
        const tody_tile_place at = tody_tile_at(g, b->first + t);
        find_pixels(job, &slide, &at, pixels);
        const tody_winograd_in in = {
            .edge = job->tiling.edge,
            .channels = job->gemm->depth,
            .a = (const float *const *)(const void *)pixels,
            .v = b->v + (size_t)group.begin * g->depth + (size_t)phase * g->phase_depth * step +
                 (size_t)(t - group.begin) * (step > 1 ? 4 : g->depth),
            .v_stride = g->v_stride,
            .v_step = step,
        };
        k->winograd_in_f32(&in);
    }
}

// Rows to float16, each position in its place. A lone one is rounded by the product.
static void round_image(const job *job, const block *b) {
    const tody_tiles *g = &job->tiles;
    const size_t values = ((size_t)b->count * g->depth + 7) / 8 * 8;
    for (float *v = b->v; v < b->v + g->v_stride * g->positions; v += g->v_stride)
        job->call->kernels->f16->round(v, (uint16_t *)(void *)v, values);
}

static void transform_result(const job *job, uint32_t panel, uint32_t panels, const block *b) {
    const tody_gemm *gemm = job->gemm;
    const uint32_t column = panel * TODY_PANEL, cols = panels * TODY_PANEL;
    tody_winograd_out out = {
        .edge = job->tiling.edge,
        .tile = job->tiling.tile,
        .channels = tody_min_u32(gemm->cols - column, cols),
        .m_stride = job->tiles.m_stride,
        .bias = gemm->bias ? (const float *)gemm->bias + column : NULL,
        .c_line = job->slide->out_width * gemm->c_stride,
        .c_stride = gemm->c_stride,
        .lo = tody_low(&gemm->activation),
        .hi = tody_high(&gemm->activation),
    };
    for (uint32_t t = 0; t < b->count; t++) {
        const tody_tile_place at = tody_tile_at(&job->tiles, b->first + t);
        const size_t c = output_at(job, &at) + column;
        out.top = at.top;
        out.left = at.left;
        out.rows = at.rows;
        out.cols = at.cols;
        out.m = b->m + (size_t)t * cols;
        out.c = (float *)gemm->c + c;
        out.addend = gemm->addend ? (const float *)gemm->addend + c : NULL;
        job->call->kernels->winograd_out_f32(&out);
    }
}

// Channels [column, column + cols): tiles that are neighbours in a line, and pixels that are neighbours, are done together.
static void activate(const job *job, const block *b, uint32_t column, uint32_t cols) {
    const tody_activation *f = &job->gemm->activation;
    if (!tody_needs_unary(f)) return;
    const size_t stride = job->gemm->c_stride, line = job->slide->out_width * stride;
    for (uint32_t t = 0, some; t < b->count; t += some) {
        const tody_tile_place at = tody_tile_at(&job->tiles, b->first + t);
        some = tody_min_u32(b->count - t, at.beside);
        const uint32_t pixels = some * at.cols, runs = cols == stride ? 1 : pixels;
        float *c = (float *)job->gemm->c + output_at(job, &at) + column;
        for (uint32_t y = 0; y < at.rows; y++, c += line) {
            for (uint32_t i = 0; i < runs; i++)
                job->call->kernels->unary_f32(f->fn, f->a, f->b, c + i * stride, c + i * stride, (size_t)pixels / runs * cols);
        }
    }
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_tiles *g = &job->tiles;
    const uint32_t number = task / g->parts, part = task % g->parts, first = tody_share(g->count, number, g->blocks);
    const uint32_t all = tody_div_up(job->gemm->cols, TODY_PANEL), groups = tody_div_up(all, g->panels);
    const uint32_t begin = tody_share(groups, part, g->parts) * g->panels;
    const uint32_t end = tody_min_u32(tody_share(groups, part + 1, g->parts) * g->panels, all);
    block b = {.first = first, .count = tody_share(g->count, number + 1, g->blocks) - first};
    b.v = (float *)(void *)(job->scratch + thread * tody_scratch_bytes(tody_tiles_bytes(g)));
    b.m = b.v + g->v_stride * g->positions;
    b.u = b.m + g->m_stride * g->positions;
    for (uint32_t i = 0; i < tody_phases(&job->tiling); i++) transform_phase(job, i, &b);
    if (tody_gemm_is_f16(job->gemm) && b.count > 1) round_image(job, &b);
    for (uint32_t panel = begin; panel < end; panel += g->panels) {
        const uint32_t panels = tody_min_u32(g->panels, end - panel);
        tody_winograd_multiply(job, &b, panel, panels);
        transform_result(job, panel, panels, &b);
    }
    const uint32_t column = begin * TODY_PANEL;
    activate(job, &b, column, tody_min_u32(job->gemm->cols, end * TODY_PANEL) - column);
}

void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, tody_tiling tiling,
                       uint8_t *scratch) {
    const tody_tensor w = tody_in(call, 1), y = tody_out(call, 0);
    job job = {call, gemm, slide, tiling, scratch, tody_tiles_of(call, &w, &y, tiling)};
    tody_folded folded;
    if (tody_is_folded(&tiling, gemm->depth)) tody_fold(&job, &folded, scratch + blocks_bytes(call, &job.tiles));
    tody_for(call, job.tiles.blocks * job.tiles.parts, run_task, &job);
}
