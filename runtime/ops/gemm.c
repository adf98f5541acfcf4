// gemm.c - rows times weight panels: blocks of rows that stay in cache, tiles of the kernel's size, tasks for threads.
// SPDX-License-Identifier: Apache-2.0
#include "gemm.h"

#include <string.h>

#include "shape.h"

enum {
    BLOCK_ROWS = 64,         // rows of A that meet one panel before the next panel is fetched
    BLOCK_FLOATS = 65536,    // of A in a block: a quarter of a MiB stays in the second-level cache
    TASK_PRODUCTS = 200000,  // multiplications below which another thread costs more than it saves
    TASKS_PER_THREAD = 4,    // so that a slow core does not keep the others waiting
};

// How a product is cut: blocks of rows, and parts of so many panels.
typedef struct cut {
    uint32_t block_rows, blocks, part_panels, parts, panels;
} cut;

typedef struct job {
    const tody_gemm *gemm;
    const tody_kernels *kernels;
    size_t pointer_count;  // per thread
    cut cut;
} job;

// What one call of the kernel makes: rows from `first` on.
typedef struct tile {
    const float *const *a;
    uint32_t first, rows;
    uint32_t joined;  // taps of the operator in a tap of the kernel
} tile;

// A whole number of the kernel's tiles.
static uint32_t block_rows(const tody_kernels *k, uint32_t depth) {
    uint32_t rows = tody_min_u32(BLOCK_FLOATS / depth, BLOCK_ROWS);
    return tody_max_u32(rows / k->gemm_f32_rows, 1) * k->gemm_f32_rows;
}

static size_t pointers_per_thread(const tody_kernels *k, uint32_t taps, uint32_t depth) {
    return tody_scratch_bytes((uint64_t)taps * block_rows(k, depth) * sizeof(const float *)) / sizeof(const float *);
}

size_t tody_gemm_scratch(const tody_call *call, uint32_t taps, uint32_t depth) {
    uint64_t bytes = (uint64_t)pointers_per_thread(call->kernels, taps, depth) * sizeof(const float *);
    return tody_scratch_bytes(bytes * tody_threads(call));
}

void tody_gather_matrix(const void *matrix, uint32_t first, uint32_t rows, const float **a) {
    const tody_matrix *m = matrix;
    for (uint32_t i = 0; i < rows; i++) a[i] = m->data + (first + i) * m->stride;
}

static cut cut_product(const tody_kernels *k, const tody_gemm *g, uint32_t threads) {
    cut c = {.block_rows = block_rows(k, g->depth), .parts = 1};
    while (c.block_rows > k->gemm_f32_rows && g->rows % c.block_rows == 1) c.block_rows -= k->gemm_f32_rows;  // see tile_rows
    c.blocks = tody_div_up(g->rows, c.block_rows);
    c.panels = tody_div_up(g->cols, TODY_PANEL);
    uint64_t work = (uint64_t)g->rows * g->cols * g->taps * g->depth / TASK_PRODUCTS;
    uint64_t most = (uint64_t)threads * TASKS_PER_THREAD;
    uint32_t wanted = (uint32_t)(work < most ? work : most);
    if (c.blocks < wanted) c.parts = tody_min_u32(tody_div_up(wanted, c.blocks), c.panels);
    c.part_panels = tody_div_up(c.panels, c.parts);
    c.parts = tody_div_up(c.panels, c.part_panels);
    return c;
}

// Whether `run` taps lie one after the other in memory, for each of `rows` rows and from each run-th tap on.
static bool in_runs(const tody_gemm *g, const float *const *a, uint32_t rows, uint32_t run) {
    for (uint32_t t = 1; t < g->taps; t++) {
        if (t % run == 0) continue;
        const float *const *tap = a + (size_t)t * rows;
        for (uint32_t i = 0; i < rows; i++) {
            if (tap[i] != *(tap + i - rows) + g->depth) return false;
        }
    }
    return true;
}

// Pixels of a line are neighbours in memory: inside the image, the taps of a window's line are one longer tap. Returns how many
// taps were joined and moves the pointers that are left together.
static uint32_t join_taps(const tody_gemm *g, const float **a, uint32_t rows) {
    uint32_t run = 1;
    while (run < g->taps && a[(size_t)run * rows] == a[(size_t)(run - 1) * rows] + g->depth) run++;
    if (run == 1 || g->taps % run != 0 || !in_runs(g, a, rows, run)) return 1;
    for (uint32_t t = run; t < g->taps; t += run) memcpy(a + (size_t)t / run * rows, a + (size_t)t * rows, rows * sizeof *a);
    return run;
}

// Rows of the next tile when `left` are left. Kernels may sum a lone row in another order, for speed; so that results do not
// depend on how high the kernel's tiles are, only a product of one row gets a tile of one.
static uint32_t tile_rows(uint32_t left, uint32_t most) {
    return left == most + 1 && most > 2 ? most - 1 : tody_min_u32(left, most);
}

static uint32_t gather_block(const job *job, uint32_t first, uint32_t rows, const float **a, tile *tiles) {
    const tody_gemm *g = job->gemm;
    uint32_t count = 0;
    for (uint32_t row = 0; row < rows; row += tiles[count++].rows) {
        const float **mine = a + (size_t)row * g->taps;
        const uint32_t some = tile_rows(rows - row, job->kernels->gemm_f32_rows);
        g->gather(g->source, first + row, some, mine);
        tiles[count] = (tile){mine, first + row, some, join_taps(g, mine, some)};
    }
    return count;
}

// A block of rows in one panel, which stays in cache while the rows go by.
static void run_panel(const job *job, uint32_t panel, const tile *tiles, uint32_t count) {
    const tody_gemm *g = job->gemm;
    const uint32_t column = panel * TODY_PANEL;
    tody_gemm_f32 args = {
        .cols = tody_min_u32(g->cols - column, TODY_PANEL),
        .w = g->w + panel * g->w_stride,
        .bias = g->bias ? g->bias + column : NULL,
        .addend_stride = g->addend_stride,
        .c_stride = g->c_stride,
        .lo = tody_low(&g->activation),
        .hi = tody_high(&g->activation),
    };
    for (const tile *t = tiles; t < tiles + count; t++) {
        args.rows = t->rows;
        args.taps = g->taps / t->joined;
        args.depth = g->depth * t->joined;
        args.a = t->a;
        args.c = g->c + t->first * g->c_stride + column;
        args.addend = g->addend ? g->addend + t->first * g->addend_stride + column : NULL;
        job->kernels->gemm_f32(&args);
    }
}

static void activate(const job *job, uint32_t first, uint32_t rows, uint32_t column, uint32_t cols) {
    const tody_gemm *g = job->gemm;
    const tody_activation *f = &g->activation;
    if (!tody_needs_unary(f)) return;
    bool whole = cols == g->c_stride;
    for (uint32_t i = 0; i < (whole ? 1 : rows); i++) {
        float *c = g->c + (first + i) * g->c_stride + column;
        job->kernels->unary_f32(f->fn, f->a, f->b, c, c, whole ? (size_t)rows * cols : cols);
    }
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->gemm;
    const cut *c = &job->cut;
    uint32_t first = task / c->parts * c->block_rows, rows = tody_min_u32(g->rows - first, c->block_rows);
    uint32_t panel = task % c->parts * c->part_panels, end = tody_min_u32(panel + c->part_panels, c->panels);
    const uint32_t column = panel * TODY_PANEL;
    tile tiles[BLOCK_ROWS];
    const uint32_t count = gather_block(job, first, rows, g->pointers + thread * job->pointer_count, tiles);
    for (; panel < end; panel++) run_panel(job, panel, tiles, count);
    activate(job, first, rows, column, tody_min_u32(g->cols, end * TODY_PANEL) - column);
}

static job make_job(const tody_call *call, const tody_gemm *g, uint32_t threads) {
    return (job){g, call->kernels, pointers_per_thread(call->kernels, g->taps, g->depth),
                 cut_product(call->kernels, g, threads)};
}

void tody_gemm_run(const tody_call *call, const tody_gemm *gemm) {
    job job = make_job(call, gemm, tody_threads(call));
    tody_for(call, job.cut.blocks * job.cut.parts, run_task, &job);
}

void tody_gemm_here(const tody_call *call, const tody_gemm *gemm, uint32_t thread) {
    job job = make_job(call, gemm, 1);
    job.cut.parts = 1;
    job.cut.part_panels = job.cut.panels;
    for (uint32_t block = 0; block < job.cut.blocks; block++) run_task(&job, block, thread);
}
