// winograd.c - convolution with fewer multiplications: blocks of transformed tiles that stay in cache, a matrix product for
// each position of a tile and each phase of the image, and back. Where weights are fleeting all tiles are one block, and
// threads share out the output channels.
// SPDX-License-Identifier: Apache-2.0
#include "winograd.h"

#include "f16.h"
#include "winograd_weights.h"

enum {
    SKEW = TODY_PANEL,  // elements between positions, so that these do not all fall into the same sets of a cache
    FEWEST = 2,         // tiles in a block if there are more: a product of one row is summed in another order
    SLICE = 128,        // of depth whose fleeting weights are transformed together; sets give the same bits
};

// How an output is cut into tiles, and these into blocks.
typedef struct grid {
    uint32_t tile, positions;      // positions: products of a tile, a channel and a phase
    uint32_t down, across, tiles;  // tiles of an image, and of the batch
    uint32_t blocks, block_tiles;  // most tiles in a block
    uint32_t panels;               // of output channels that are multiplied together
    uint32_t parts;                // of all panels: tasks of a block
    uint32_t phase_depth, depth;   // values that a phase of a transformed row takes, and all of it
    size_t v_stride, m_stride;     // from one position to the next, in elements: transformed image, products,
    size_t u_stride;               // fleeting weights; 0: they are prepared
} grid;

typedef struct job {
    const tody_call *call;
    const tody_gemm *gemm;
    const tody_slide *slide;
    tody_tiling tiling;
    uint8_t *scratch;
    grid grid;
} job;

// One tile of the output: where its upper left pixel is, and how much of it lies inside of the image.
typedef struct place {
    uint32_t image, y, x, rows, cols;
} place;

// As many tiles as the kernel set's cache holds, in whole tiles of its product, in blocks that keep all threads busy.
static void cut_blocks(grid *g, const tody_kernels *k, uint32_t threads) {
    const uint32_t rows = k->gemm_f32_rows, floats = (uint32_t)(k->winograd_bytes / sizeof(float) / g->positions);
    const uint32_t fit = floats / (g->depth + g->panels * TODY_PANEL);
    const uint32_t most = tody_max_u32(fit / rows, 1) * rows;
    g->blocks = tody_div_up(tody_div_up(g->tiles, most), threads) * threads;
    g->blocks = tody_max_u32(tody_min_u32(g->blocks, g->tiles / FEWEST), 1);
    g->block_tiles = tody_div_up(g->tiles, g->blocks);
}

// Tiles of a batch.
static uint32_t count_tiles(const tody_tensor *y, uint32_t tile) {
    return y->shape[TODY_BATCH] * tody_div_up(y->shape[TODY_HEIGHT], tile) * tody_div_up(y->shape[TODY_WIDTH], tile);
}

tody_tiling tody_winograd_tiling(const tody_kernels *kernels, const tody_window *window, const tody_tensor *y, uint32_t depth,
                                 uint32_t tile) {
    const tody_tiling tiling = tody_tiling_of(window, tile);
    const bool is_short = tiling.step > 1 && tiling.kernel * tiling.kernel * depth < kernels->winograd_phases;
    const bool is_small = tiling.fleeting && count_tiles(y, tiling.tile) < kernels->winograd_fleeting;
    return !is_short && !is_small ? tiling : (tody_tiling){0};
}

static grid make_grid(const tody_call *call, const tody_tensor *y, uint32_t depth, tody_tiling tiling) {
    const uint32_t tile = tiling.tile, threads = tody_threads(call);
    grid g = {.tile = tile, .positions = tiling.edge * tiling.edge, .panels = call->kernels->gemm_f32_panels, .parts = 1};
    g.down = tody_div_up(y->shape[TODY_HEIGHT], tile);
    g.across = tody_div_up(y->shape[TODY_WIDTH], tile);
    g.tiles = count_tiles(y, tile);
    g.phase_depth = tody_packs_f32(call->kernels) ? tody_div_up(depth, 4) * 4 : depth;
    g.depth = tody_phases(&tiling) * g.phase_depth;
    if (tiling.fleeting) {
        g.blocks = 1;
        g.block_tiles = g.tiles;
        g.parts = tody_min_u32(tody_div_up(y->shape[TODY_CHANNELS], g.panels * TODY_PANEL), threads);
        g.u_stride = SLICE * TODY_PANEL + SKEW;
    } else {
        cut_blocks(&g, call->kernels, threads);
    }
    g.v_stride = (size_t)g.block_tiles * g.depth + SKEW;
    g.m_stride = (size_t)g.block_tiles * g.panels * TODY_PANEL + SKEW;
    return g;
}

// In 64 bits, since a record may ask for more tiles than a pointer of 32 reaches.
static uint64_t thread_bytes(const grid *g) {
    const uint64_t values = (uint64_t)g->block_tiles * ((uint64_t)g->depth + g->panels * TODY_PANEL) + 2 * SKEW;
    return (values + g->panels * g->u_stride) * g->positions * sizeof(float);
}

size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling) {
    const grid g = make_grid(call, y, w->shape[3], tiling);
    return tody_scratch_bytes(tody_scratch_bytes(thread_bytes(&g)) * (uint64_t)tody_threads(call));
}

static place place_of(const job *job, uint32_t t) {
    const grid *g = &job->grid;
    place at = {.image = t / g->across / g->down, .y = t / g->across % g->down * g->tile, .x = t % g->across * g->tile};
    at.rows = tody_min_u32(g->tile, job->slide->out_height - at.y);
    at.cols = tody_min_u32(g->tile, job->slide->out_width - at.x);
    return at;
}

static size_t output_at(const job *job, const place *at) {
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

// Rows of the products, those of each kernel's tile together if the kernel set packs.
static void transform_phase(const job *job, uint32_t phase, uint32_t first, uint32_t count, float *v) {
    const grid *g = &job->grid;
    const uint32_t parts = tody_div_up(count, job->call->kernels->gemm_f32_rows);
    const tody_slide slide = slide_over(job, phase);
    const void *pixels[TODY_MAX_WINOGRAD_EDGE * TODY_MAX_WINOGRAD_EDGE];
    for (uint32_t t = 0, part = 0, begin = 0, end = tody_share(count, 1, parts); t < count; t++) {
        if (t == end) {
            begin = end;
            end = tody_share(count, ++part + 1, parts);
        }
        const uint32_t step = tody_packs_f32(job->call->kernels) ? end - begin : 1;
        const place at = place_of(job, first + t);
        const uint32_t line = at.image * job->slide->out_height + at.y;
        tody_slide_grid(&slide, line, 1, at.x, 1, job->tiling.edge, pixels);
        const tody_winograd_in in = {
            .edge = job->tiling.edge,
            .channels = job->gemm->depth,
            .a = (const float *const *)(const void *)pixels,
            .v = v + (size_t)begin * g->depth + (size_t)phase * g->phase_depth * step +
                 (size_t)(t - begin) * (step > 1 ? 4 : g->depth),
            .v_stride = g->v_stride,
            .v_step = step,
        };
        job->call->kernels->winograd_in_f32(&in);
    }
}

static bool is_f16(const job *job) { return tody_gemm_is_f16(job->gemm); }

// Rows to float16, each position in its place. A lone one is rounded by the product.
static void round_image(const job *job, float *v, uint32_t count) {
    const grid *g = &job->grid;
    const size_t values = ((size_t)count * g->depth + 7) / 8 * 8;
    for (uint32_t p = 0; p < g->positions; p++, v += g->v_stride)
        job->call->kernels->f16->round(v, (uint16_t *)(void *)v, values);
}

// Transformed weights of some panels, and a part of the depth of each phase.
typedef struct slice {
    const float *u;
    size_t stride, panel_stride;  // from one position to the next where these differ, and from one panel
    uint32_t from, depth;
} slice;

// A product of `count` rows v and the weights at args->w, in tiles of nearly the same size; those have `next` fetched. Of the
// rows the values from `from` on are taken, which is 0 for float16.
static void multiply_position(const job *job, tody_gemm_f32 *args, const float *next, const float *v, uint32_t from, float *m,
                              uint32_t count) {
    const tody_kernels *k = job->call->kernels;
    const uint32_t parts = tody_div_up(count, k->gemm_f32_rows), depth = job->grid.depth;
    const float *rows[TODY_MAX_ROWS];
    for (uint32_t i = 0; i < parts; i++) {
        const uint32_t first = tody_share(count, i, parts);
        args->rows = tody_share(count, i + 1, parts) - first;
        const float *row = v + (size_t)first * depth + (size_t)from * (tody_packs_f32(k) ? args->rows : 1);
        for (uint32_t r = 0; r < args->rows; r++) rows[r] = row + (size_t)r * depth;
        args->a = rows;
        if (is_f16(job))
            args->packed_f16 = (const uint16_t *)(const void *)v + (size_t)first * depth;
        else
            args->packed = row;
        args->c = m + first * args->c_stride;
        args->addend = from ? args->c : NULL;
        args->next = i * TODY_PANEL < args->cols ? next + i * args->w_stride : args->w;
        (is_f16(job) ? k->f16->gemm : k->gemm_f32)(args);
    }
}

// How many phases from i on, whose weights are together, are one product at position (y, x): those that have no tap left for
// infinity, where y or x is 0, are none. 0 if the phase before i is one with it.
static uint32_t count_together(const tody_tiling *t, uint32_t i, uint32_t y, uint32_t x) {
    const uint32_t taps = tody_phase_of(t, 0).down;
    uint32_t count = 0;
    for (uint32_t at = i > 0 ? i - 1 : i; at < tody_phases(t); at++) {
        const tody_phase phase = tody_phase_of(t, at);
        const bool meets = (y > 0 || phase.down == taps) && (x > 0 || phase.across == taps);
        if (at < i && meets) return 0;
        if (at >= i && !meets) break;
        count += at >= i;
    }
    return count;
}

// The products of phase i with a slice, and at once of those after it that are together with it, which are added to the
// products of slices and phases before it.
static void multiply_phase(const job *job, const slice *s, uint32_t i, tody_gemm_f32 *args, const float *v, float *m,
                           uint32_t count) {
    const grid *g = &job->grid;
    const tody_tiling *t = &job->tiling;
    const tody_positions at = tody_phase_positions(t, i, job->gemm->depth, s->stride);
    const tody_phase phase = tody_phase_of(t, i), largest = tody_phase_of(t, 0);
    const uint32_t top = phase.down < largest.down, left = phase.across < largest.across, from = i * g->phase_depth + s->from;
    for (uint32_t y = top; y < t->edge; y++) {
        for (uint32_t x = left; x < t->edge; x++) {
            const uint32_t p = y * t->edge + x, phases = at.together ? count_together(t, i, y, x) : 1;
            if (phases == 0) continue;
            args->depth = phases * s->depth;
            args->w = s->u + at.first + y * at.down + x * at.right;
            args->scale = is_f16(job) ? tody_f16_scale(args->w) : NULL;
            const float *next = p + 1 < g->positions ? args->w + at.right : args->w;
            multiply_position(job, args, next, v + p * g->v_stride, from, m + p * g->m_stride, count);
        }
    }
}

// The products of all positions and phases with a slice of so many panels.
static void multiply(const job *job, const slice *s, uint32_t panels, const float *v, float *m, uint32_t count) {
    tody_gemm_f32 args = {
        .cols = panels * TODY_PANEL,
        .taps = 1,
        .w_stride = s->panel_stride,
        .next_step = TODY_PANEL,
        .addend_stride = panels * TODY_PANEL,
        .c_stride = panels * TODY_PANEL,
        .lo = -__builtin_inff(),
        .hi = __builtin_inff(),
    };
    for (uint32_t i = 0; i < tody_phases(&job->tiling); i++) multiply_phase(job, s, i, &args, v, m, count);
}

static void multiply_prepared(const job *job, uint32_t panel, uint32_t panels, const float *v, float *m, uint32_t count) {
    const uint32_t depth = job->gemm->depth;
    const size_t stride = tody_position_stride(is_f16(job), depth);
    slice whole = {.stride = stride, .panel_stride = tody_winograd_panel(&job->tiling, depth, stride), .depth = depth};
    whole.u = (const float *)(const void *)job->call->prepared + panel * whole.panel_stride + (is_f16(job) ? TODY_PANEL : 0);
    multiply(job, &whole, panels, v, m, count);
}

// Each slice of the weights is transformed to u, and met by all tiles at once.
static void multiply_fleeting(const job *job, uint32_t panel, uint32_t panels, const float *v, float *u, float *m,
                              uint32_t count) {
    const grid *g = &job->grid;
    const tody_filters filters = {job->gemm->w, job->call->kernels, job->tiling, job->gemm->depth};
    slice s = {.u = u, .stride = g->u_stride, .panel_stride = g->u_stride * g->positions};
    for (; s.from < filters.depth; s.from += SLICE) {
        s.depth = tody_min_u32(filters.depth - s.from, SLICE);
        for (uint32_t i = 0; i < panels; i++)
            tody_winograd_transform(&filters, panel + i, 0, s.from, s.depth, u + i * s.panel_stride, s.stride);
        multiply(job, &s, panels, v, m, count);
    }
}

static void transform_result(const job *job, uint32_t panel, uint32_t panels, const float *m, uint32_t first, uint32_t count) {
    const tody_gemm *gemm = job->gemm;
    const uint32_t column = panel * TODY_PANEL, cols = panels * TODY_PANEL;
    tody_winograd_out out = {
        .edge = job->tiling.edge,
        .tile = job->tiling.tile,
        .channels = tody_min_u32(gemm->cols - column, cols),
        .m_stride = job->grid.m_stride,
        .bias = gemm->bias ? (const float *)gemm->bias + column : NULL,
        .c_line = job->slide->out_width * gemm->c_stride,
        .c_stride = gemm->c_stride,
        .lo = tody_low(&gemm->activation),
        .hi = tody_high(&gemm->activation),
    };
    for (uint32_t t = 0; t < count; t++) {
        const place at = place_of(job, first + t);
        const size_t c = output_at(job, &at) + column;
        out.rows = at.rows;
        out.cols = at.cols;
        out.m = m + (size_t)t * cols;
        out.c = (float *)gemm->c + c;
        out.addend = gemm->addend ? (const float *)gemm->addend + c : NULL;
        job->call->kernels->winograd_out_f32(&out);
    }
}

// Channels [column, column + cols): tiles that are neighbours in a line, and pixels that are neighbours, are done together.
static void activate(const job *job, uint32_t first, uint32_t count, uint32_t column, uint32_t cols) {
    const tody_activation *f = &job->gemm->activation;
    if (!tody_needs_unary(f)) return;
    const grid *g = &job->grid;
    const size_t stride = job->gemm->c_stride;
    for (uint32_t t = first, some; t < first + count; t += some) {
        some = tody_min_u32(first + count - t, g->across - t % g->across);
        const place at = place_of(job, t);
        const uint32_t pixels = tody_min_u32(some * g->tile, job->slide->out_width - at.x), runs = cols == stride ? 1 : pixels;
        float *c = (float *)job->gemm->c + output_at(job, &at) + column;
        for (uint32_t y = 0; y < at.rows; y++, c += job->slide->out_width * stride) {
            for (uint32_t i = 0; i < runs; i++)
                job->call->kernels->unary_f32(f->fn, f->a, f->b, c + i * stride, c + i * stride, (size_t)pixels / runs * cols);
        }
    }
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const grid *g = &job->grid;
    const uint32_t block = task / g->parts, part = task % g->parts, first = tody_share(g->tiles, block, g->blocks);
    const uint32_t count = tody_share(g->tiles, block + 1, g->blocks) - first;
    const uint32_t all = tody_div_up(job->gemm->cols, TODY_PANEL), groups = tody_div_up(all, g->panels);
    const uint32_t begin = tody_share(groups, part, g->parts) * g->panels;
    const uint32_t end = tody_min_u32(tody_share(groups, part + 1, g->parts) * g->panels, all);
    float *v = (float *)(void *)(job->scratch + thread * tody_scratch_bytes(thread_bytes(g)));
    float *m = v + g->v_stride * g->positions, *u = m + g->m_stride * g->positions;
    for (uint32_t i = 0; i < tody_phases(&job->tiling); i++) transform_phase(job, i, first, count, v);
    if (is_f16(job) && count > 1) round_image(job, v, count);
    for (uint32_t panel = begin; panel < end; panel += g->panels) {
        const uint32_t panels = tody_min_u32(g->panels, end - panel);
        if (g->u_stride)
            multiply_fleeting(job, panel, panels, v, u, m, count);
        else
            multiply_prepared(job, panel, panels, v, m, count);
        transform_result(job, panel, panels, m, first, count);
    }
    const uint32_t column = begin * TODY_PANEL;
    activate(job, first, count, column, tody_min_u32(job->gemm->cols, end * TODY_PANEL) - column);
}

void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, tody_tiling tiling,
                       uint8_t *scratch) {
    const tody_tensor y = tody_out(call, 0);
    job job = {call, gemm, slide, tiling, scratch, make_grid(call, &y, gemm->depth, tiling)};
    tody_for(call, job.grid.blocks * job.grid.parts, run_task, &job);
}
