// gemm.c - rows times weight panels: blocks of rows that stay in cache, tiles of the kernel's size, tasks for threads.
// SPDX-License-Identifier: Apache-2.0
#include "gemm.h"

#include <string.h>

#include "lines.h"
#include "pack.h"
#include "shape.h"
#include "tiles.h"

enum {
    BLOCK_ROWS = 198,          // rows of A that meet one panel before the next panel is fetched
    MAX_TILES = 66,            // of a block: no kernel of float32 or int16 takes fewer than three rows
    BLOCK_BYTES = 1 << 18,     // of packed A in a block: a quarter of a MiB stays in the second-level cache
    BLOCK_BYTES_S8 = 5 << 16,  // the same of int8: 64 windows of 3x3 over 512 channels
    PLAIN_BYTES = 16,          // that kernels load at once of rows which are not packed
    BLOCK_POINTERS = 1024,     // to A in a block: fewer rows where a filter is large
    TASK_PRODUCTS = 200000,    // multiplications below which another thread costs more than it saves
    TASKS_PER_THREAD = 4,      // so that a slow core does not keep the others waiting
    LEAST_ROWS = 8,            // fewer rows take as long: the time goes into fetching weights
    LINE_PRICE = 4,            // of a cache line that another core has written, where one that was only read costs 1
};

// How a product is cut: blocks of rows, and parts of so many panels; with groups beside, of so many groups.
typedef struct cut {
    uint32_t blocks, part_units, parts, units;
} cut;

typedef struct job {
    const tody_gemm *gemm;
    const tody_kernels *kernels;
    size_t thread_bytes;  // of scratch
    tody_lines lines;
    cut cut;
} job;

// Rows of a full tile of so many columns.
static uint32_t most_rows(const tody_kernels *k, tody_dtype dtype, uint32_t cols) {
    if (tody_is_f32(dtype)) return cols <= TODY_NARROW && k->gemm_f32_narrow ? k->gemm_f32_narrow : k->gemm_f32_rows;
    return tody_is_s16(dtype) ? k->gemm_s16_rows : k->gemm_s8_rows;
}

// Panels of a full tile.
static uint32_t most_panels(const tody_kernels *k, tody_dtype dtype) {
    return tody_is_f32(dtype) ? k->gemm_f32_panels : tody_is_s16(dtype) ? k->gemm_s16_panels : k->gemm_s8_panels;
}

static uint32_t panels_of(const tody_gemm *g) { return tody_div_up(g->cols, TODY_PANEL); }

static bool is_s8(tody_dtype dtype) { return !tody_is_f32(dtype) && !tody_is_s16(dtype); }

static bool packs(const tody_kernels *k, tody_dtype dtype) { return TODY_PACKS_S8 && is_s8(dtype) && k->pack_s8; }

static bool packs_f32(const tody_kernels *k, tody_dtype dtype) { return tody_is_f32(dtype) && tody_packs_f32(k); }

// Rows of float32 in a block, at most.
static uint32_t block_rows_f32(const tody_kernels *k, uint32_t taps, uint32_t depth) {
    if (!tody_packs_f32(k)) return BLOCK_ROWS;
    return tody_min_u32(BLOCK_ROWS, BLOCK_BYTES / sizeof(float) / tody_slice_values(taps, depth));
}

// At most; a whole number of the kernel's tiles. Of int8 that is not packed, on chips, one: they have no cache for more.
static uint32_t block_rows(const tody_kernels *k, tody_dtype dtype, uint32_t cols, uint32_t taps, uint32_t depth) {
    const uint32_t tile = most_rows(k, dtype, cols);
    if (packs(k, dtype)) {
        const size_t fit = BLOCK_BYTES_S8 / tody_packed_stride(taps, depth);
        return tody_max_u32((uint32_t)(fit < k->gemm_s8_block ? fit : k->gemm_s8_block) / tile, 1) * tile;
    }
    if (is_s8(dtype)) return tile;
    const uint32_t most = tody_min_u32(block_rows_f32(k, taps, depth), BLOCK_POINTERS / taps);
    return tody_max_u32(most / tile, 1) * tile;
}

// Of the pointers of a block, also of fewer taps: those of a part of a transposed convolution.
static size_t pointer_bytes(const tody_kernels *k, tody_dtype dtype, uint32_t taps, uint32_t depth, size_t bytes) {
    const uint64_t rows = block_rows(k, dtype, TODY_PANEL, 1, depth), least = (uint64_t)taps * most_rows(k, dtype, 1);
    const uint64_t all = taps * rows < BLOCK_POINTERS ? taps * rows : BLOCK_POINTERS;
    if (packs(k, dtype)) return tody_scratch_bytes((uint64_t)tody_max_u32(taps, BLOCK_POINTERS) * bytes);
    return tody_scratch_bytes((all > least ? all : least) * bytes);
}

// The pointers of a block, and where the kernel set packs, its rows; else what its kernel of int8 works with.
static size_t thread_bytes(const tody_kernels *k, tody_dtype dtype, uint32_t taps, uint32_t depth, size_t bytes) {
    const uint64_t pointers = pointer_bytes(k, dtype, taps, depth, bytes);
    if (packs_f32(k, dtype)) {
        const uint64_t all = (uint64_t)BLOCK_ROWS * tody_slice_values(taps, depth) * sizeof(float);
        return tody_scratch_bytes(pointers + (all < BLOCK_BYTES ? all : BLOCK_BYTES));
    }
    if (!packs(k, dtype)) return tody_scratch_bytes(pointers + (is_s8(dtype) ? tody_gemm_work(taps, depth) : 0));
    const uint64_t row = tody_packed_stride(taps, depth), least = row * k->gemm_s8_rows, most = row * k->gemm_s8_block;
    const uint64_t block = most < BLOCK_BYTES_S8 ? most : BLOCK_BYTES_S8;
    return tody_scratch_bytes(pointers + 2 * TODY_PACK_ALIGN + (block > least ? block : least) * k->gemm_s8_bytes);
}

size_t tody_gemm_scratch(const tody_call *call, tody_dtype dtype, uint32_t taps, uint32_t depth) {
    const uint64_t bytes = thread_bytes(call->kernels, dtype, taps, depth, call->pointer_bytes);
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
    const uint32_t units = lines->lines ? tody_lines_units(lines, g) : g->rows / most_rows(k, g->dtype, g->cols);
    const uint32_t blocks = lines->lines ? tody_div_up(units, lines->lines)
                                         : tody_div_up(g->rows, block_rows(k, g->dtype, g->cols, g->taps, g->depth));
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
    c.units = g->beside ? g->beside + 1 : panels_of(g);
    if (c.blocks < wanted) c.parts = tody_min_u32(tody_div_up(wanted, c.blocks), c.units);
    c.part_units = tody_div_up(tody_div_up(c.units, c.parts), together) * together;
    c.parts = tody_div_up(c.units, c.part_units);
    return c;
}

// Whether `run` taps of tap_bytes lie one after the other in memory, for each of `rows` rows and from each run-th tap on.
static bool in_runs(const tody_gemm *g, const void *const *a, uint32_t rows, uint32_t run, size_t tap_bytes) {
    for (uint32_t t = 1; t < g->taps; t++) {
        if (t % run == 0) continue;
        const void *const *tap = a + (size_t)t * rows;
        for (uint32_t i = 0; i < rows; i++) {
            if (tap[i] != (const uint8_t *)*(tap + i - rows) + tap_bytes) return false;
        }
    }
    return true;
}

// Pixels of a line are neighbours in memory: inside the image, so are the taps of a window's line. How many are, or 1.
static uint32_t find_run(const tody_gemm *g, const void *const *a, uint32_t rows) {
    const size_t tap_bytes = g->depth * tody_dtype_bytes(g->dtype);
    uint32_t run = 1;
    while (run < g->taps && a[(size_t)run * rows] == (const uint8_t *)a[(size_t)(run - 1) * rows] + tap_bytes) run++;
    return run > 1 && g->taps % run == 0 && in_runs(g, a, rows, run, tap_bytes) ? run : 1;
}

// The tile of rows from `first` on; `a` has room for its pointers. Neighbouring taps become one longer tap: at once where all
// rows are in lines, else their pointers are moved together, unless a panel has gaps between them. Written in place: to copy
// what was just written in smaller pieces makes CPUs wait.
static void make_tile(const tody_gemm *g, const void **a, uint32_t first, uint32_t rows, tody_tile *tile) {
    const bool f32 = tody_is_f32(g->dtype), lines = f32 && g->slide && !g->beside, whole = f32 && tody_gemm_sliced(g);
    const size_t room = (size_t)g->taps * rows * sizeof *a;
    *tile = (tody_tile){a, first, rows, 1, NULL};
    if (lines && !whole && tody_slide_lines(g->slide, first, rows, room, a)) {
        tile->joined = g->slide->window.kernel[1];
        return;
    }
    g->gather(g->source, first, rows, a);
    if (lines || whole || g->beside || g->depth % tody_group(g->dtype) != 0) return;
    const uint32_t run = find_run(g, a, rows);
    for (uint32_t t = run; run > 1 && t < g->taps; t += run) {
        memcpy(a + (size_t)t / run * rows, a + (size_t)t * rows, rows * sizeof *a);
    }
    tile->joined = run;
}

// Packed tiles come behind the pointers; a product of one row needs none.
static uint32_t gather_block(const job *job, uint32_t first, uint32_t rows, const void **a, tody_tile *tiles) {
    const tody_gemm *g = job->gemm;
    const uint32_t count = tody_div_up(rows, most_rows(job->kernels, g->dtype, g->cols));
    const size_t values = tody_slice_values(g->taps, g->depth);
    float *packed = NULL;
    if (packs_f32(job->kernels, g->dtype) && g->rows > 1)
        packed = (float *)(void *)((uint8_t *)a + pointer_bytes(job->kernels, g->dtype, g->taps, g->depth, sizeof *a));
    for (uint32_t t = 0; t < count; t++) {
        const uint32_t row = tody_share(rows, t, count), some = tody_share(rows, t + 1, count) - row;
        make_tile(g, a + (size_t)row * g->taps, first + row, some, &tiles[t]);
        if (packed) tiles[t].work = packed + row * values;
    }
    return count;
}

// Whether rows need no packing; then `all` is where they are.
static bool are_plain(const job *job, uint32_t first, uint32_t rows, tody_packed_s8 *all) {
    const tody_gemm *g = job->gemm;
    const bool even = g->gather == tody_gather_matrix || g->gather == tody_gather_pixels;
    const bool inside = g->depth % PLAIN_BYTES == 0 || (g->rows - first - rows) * g->depth >= PLAIN_BYTES;
    if (!TODY_PLAIN_S8 || !job->kernels->gemm_s8_plain || !even || g->depth % TODY_GROUP_S8 != 0 || !inside) return false;
    const void *a[2];
    g->gather(g->source, first, tody_min_u32(rows, 2), a);
    const size_t stride = rows > 1 ? (size_t)((uintptr_t)a[1] - (uintptr_t)a[0]) : 0;
    *all = (tody_packed_s8){.count = rows, .packed = (int8_t *)(uintptr_t)a[0], .stride = stride, .width = rows, .lines = 1};
    return true;
}

// `rows` rows from `first` on, packed once, in all panels from `panel` to `end`.
static void run_packed(const job *job, uint32_t first, uint32_t rows, uint32_t panel, uint32_t end, const void **a) {
    const tody_gemm *g = job->gemm;
    const size_t pointers = pointer_bytes(job->kernels, g->dtype, g->taps, g->depth, sizeof *a);
    const uintptr_t after = (uintptr_t)a + pointers + TODY_PACK_ALIGN - 1;
    int8_t *packed = (int8_t *)(after / TODY_PACK_ALIGN * TODY_PACK_ALIGN);
    if (job->lines.lines) {
        tody_lines_run(job->kernels, g, &job->lines, first, rows, panel, end, packed);
        return;
    }
    const size_t stride = tody_packed_stride(g->taps, g->depth);
    tody_packed_s8 all = {.count = rows, .packed = packed, .stride = stride, .width = rows, .lines = 1, .line_stride = stride};
    if (!are_plain(job, first, rows, &all)) tody_gemm_pack(job->kernels, g, first, rows, pointers, a, packed);
    tody_gemm_packed_s8(job->kernels, g, panel, end, first, &all);
}

static void activate(const job *job, uint32_t first, uint32_t rows, uint32_t column, uint32_t cols) {
    const tody_gemm *g = job->gemm;
    const tody_activation *f = &g->activation;
    if (!tody_needs_unary(f)) return;
    bool whole = cols == g->c_stride;
    for (uint32_t i = 0; i < (whole ? 1 : rows); i++) {
        float *c = (float *)g->c + (first + i) * g->c_stride + column;
        job->kernels->unary_f32(f->fn, f->a, f->b, c, c, whole ? (size_t)rows * cols : cols);
    }
}

// The pointers of tiles that follow each other go ahead, all of them.
static void advance(const void **a, size_t count, size_t bytes) {
    for (size_t i = 0; i < count; i++) a[i] = (const uint8_t *)a[i] + bytes;
}

static void multiply(const job *job, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *tiles, uint32_t count) {
    if (tody_is_f32(g->dtype))
        tody_gemm_tiles(job->kernels, g, panel, end, tiles, count);
    else
        tody_gemm_tiles_s16(job->kernels, g, panel, end, tiles, count);
}

// Groups from `from` to `end`. Their rows are those of group 0 farther on, and so their pointers need not be gathered again.
static void run_groups(const job *job, uint32_t from, uint32_t end, const tody_tile *tiles, uint32_t count, size_t pointers) {
    const size_t step = (size_t)job->gemm->depth * tody_dtype_bytes(job->gemm->dtype);
    advance(tiles->a, pointers, from * step);
    for (uint32_t i = from; i < end; i++) {
        const tody_gemm g = tody_gemm_group(job->gemm, i, job->gemm->taps);
        const uint8_t *before = *tiles->a;
        multiply(job, &g, 0, panels_of(&g), tiles, count);
        advance(tiles->a, pointers, step - (size_t)((const uint8_t *)*tiles->a - before));
    }
}

// All rows of a block, of float32 or int16, in the units of the cut from `from` to `end`. Not inlined: int8 needs no stack for
// tiles.
static __attribute__((noinline)) void run_tiles(const job *job, uint32_t first, uint32_t rows, uint32_t from, uint32_t end,
                                                const void **a) {
    const tody_gemm *g = job->gemm;
    const uint32_t unit = g->beside ? g->cols : TODY_PANEL;
    tody_tile tiles[MAX_TILES];
    const uint32_t count = gather_block(job, first, rows, a, tiles);
    if (g->beside)
        run_groups(job, from, end, tiles, count, (size_t)rows * g->taps);
    else
        multiply(job, g, from, end, tiles, count);
    if (tody_is_f32(g->dtype))
        activate(job, first, rows, from * unit, tody_min_u32(g->cols * (g->beside + 1), end * unit) - from * unit);
}

// The same of int8 that is not in groups.
static void run_s8(const job *job, uint32_t first, uint32_t rows, uint32_t panel, uint32_t end, const void **a) {
    const tody_gemm *g = job->gemm;
    if (packs(job->kernels, g->dtype)) {
        run_packed(job, first, rows, panel, end, a);
        return;
    }
    tody_tile tile;
    make_tile(g, a, first, rows, &tile);
    tile.work = (uint8_t *)a + pointer_bytes(job->kernels, g->dtype, g->taps, g->depth, sizeof *a);
    tody_gemm_tile_s8(job->kernels, g, panel, end, &tile);
}

// Groups of int8. Not inlined: a single group needs no stack for another.
static __attribute__((noinline)) void run_groups_s8(const job *all, uint32_t first, uint32_t rows, uint32_t from, uint32_t end,
                                                    const void **a) {
    for (uint32_t i = from; i < end; i++) {
        tody_gemm g = tody_gemm_group(all->gemm, i, all->gemm->taps);
        tody_slide slide = *(const tody_slide *)g.source;
        slide.x += (size_t)i * g.depth;
        g.source = &slide;
        if (g.slide) g.slide = &slide;
        job job = *all;
        job.gemm = &g;
        run_s8(&job, first, rows, 0, panels_of(&g), a);
    }
}

// Where block `block` begins: rows of int8 are dealt out by whole tiles, packed ones of float32 if none can be left alone.
static uint32_t block_begin(const job *job, uint32_t block) {
    const tody_gemm *g = job->gemm;
    const uint32_t tile = most_rows(job->kernels, g->dtype, g->cols);
    if (job->lines.lines)
        return tody_lines_begin(&job->lines, g, tody_share(tody_lines_units(&job->lines, g), block, job->cut.blocks));
    const bool enough = packs_f32(job->kernels, g->dtype) && g->rows / 2 / tile >= job->cut.blocks;
    const uint32_t unit = enough || is_s8(g->dtype) ? tile : 1;
    return tody_min_u32(tody_share(tody_div_up(g->rows, unit), block, job->cut.blocks) * unit, g->rows);
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->gemm;
    const cut *c = &job->cut;
    const uint32_t block = task / c->parts, first = block_begin(job, block);
    const uint32_t rows = block_begin(job, block + 1) - first;
    const uint32_t from = task % c->parts * c->part_units, end = tody_min_u32(from + c->part_units, c->units);
    const void **a = (const void **)(void *)((uint8_t *)g->pointers + thread * job->thread_bytes);
    if (!is_s8(g->dtype))
        run_tiles(job, first, rows, from, end, a);
    else if (g->beside)
        run_groups_s8(job, first, rows, from, end, a);
    else
        run_s8(job, first, rows, from, end, a);
}

static job make_job(const tody_call *call, const tody_gemm *g, uint32_t threads) {
    const tody_kernels *k = call->kernels;
    const size_t bytes = thread_bytes(k, g->dtype, g->taps, g->depth, sizeof(const void *));
    const size_t room = bytes - pointer_bytes(k, g->dtype, g->taps, g->depth, sizeof(const void *));
    const tody_lines none = {1, 0}, lines = packs(k, g->dtype) ? tody_lines_of(k, g, room - TODY_PACK_ALIGN) : none;
    return (job){g, k, bytes, lines, cut_product(k, g, &lines, threads)};
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
