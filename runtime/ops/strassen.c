// strassen.c - matrix products of float32 with fewer multiplications: seven products of quarters for eight.
// SPDX-License-Identifier: Apache-2.0
//
// Strassen, "Gaussian Elimination is not Optimal", 1969, one level deep, in Winograd's form (1971) of 15 additions: four are of
// weights, made once; four are of rows; six of the seven of results are addends of products. Rows are taken in blocks that stay
// in a second-level cache. A block is cut into halves of its rows, of the depth and of the columns, which are numbered as in
// textbooks: a21 is the lower half of the rows, and the first one of the depth.
#include "strassen.h"

#include "f16.h"
#include "shape.h"

enum {
    BLOCK_ROWS = 198,   // as gemm.c has them; results depend on it, so no kernel set has its own
    BLOCK_PANELS = 32,  // of a half, that go through all products together: what these make in between stays in the cache
    QUARTERS = 4,       // sums of as many quarters of rows, and of weights; results of so many in between
};

enum { A11, A12, A22, S1, S2, S3, S4 };    // quarters of the rows, sums of them
enum { B11, B21, B22, T1, T2, T3, T4 };    // of the weights
enum { X, Y, Z, W, C11, C12, C21, NONE };  // what is made in between, quarters of the result

// A product: its rows, weights, addend and result.
typedef struct step {
    uint8_t a, b, addend, c;
} step;

// c22 = y + z and w + z come between these.
static const step first_steps[] = {{A11, B11, NONE, X}, {S2, T2, X, W}, {S3, T3, W, Y}, {S1, T1, NONE, Z}};
static const step last_steps[] = {{A12, B21, X, C11}, {S4, B22, W, C12}, {A22, T4, Y, C21}};

typedef struct job {
    const tody_call *call;
    const tody_gemm *gemm;
    uint8_t *scratch;  // of the first thread
    size_t thread_bytes;
    uint32_t half, panels;   // of the depth; in half of the columns
    uint32_t blocks, parts;  // of the rows; of the panels
} job;

// Some panels of a block of rows.
typedef struct block {
    uint32_t first, upper, lower;  // rows; the upper half has one more where their number is odd
    uint32_t panel, cols;          // of the left half
    float *sums, *made[QUARTERS];  // S1 to S4; X, Y, Z and W
} block;

static uint32_t half_depth(const tody_tensor *w) { return w->shape[3] / 2; }
static uint32_t half_panels(const tody_tensor *w) { return w->shape[1] / TODY_PANEL / 2; }

static uint32_t rows_of(const tody_call *call) {
    const tody_tensor y = tody_out(call, 0);
    return tody_extent(&y, 0, y.rank - 1);
}

bool tody_strassen_gains(const tody_call *call) {
    const tody_tensor w = tody_in(call, 1);
    if (call->records[call->in[1]].tile != TODY_TILE_QUARTERS) return false;
    const tody_kernels *k = call->kernels;
    const uint64_t rows = rows_of(call), depth = w.shape[3], cols = w.shape[1];
    const uint64_t costs = k->strassen_least * rows * (depth + cols) + k->strassen_rows * depth * cols;
    return !tody_f16_wanted(call, &w) && rows * depth * cols >= costs;
}

// Of a quarter of the weights.
static size_t quarter_values(const tody_tensor *w) { return (size_t)half_panels(w) * half_depth(w) * TODY_PANEL; }

size_t tody_strassen_prepared(const tody_call *call) {
    const tody_tensor w = tody_in(call, 1);
    return tody_scratch_bytes((uint64_t)QUARTERS * quarter_values(&w) * sizeof(float));
}

static void prepare_panel(void *context, uint32_t panel, uint32_t thread) {
    (void)thread;
    const tody_call *call = context;
    const tody_tensor w = tody_in(call, 1);
    const size_t count = (size_t)half_depth(&w) * TODY_PANEL, quarter = quarter_values(&w);
    const float *b11 = (const float *)w.data + panel * 2 * count, *b21 = b11 + count;
    const float *b12 = b11 + 2 * quarter, *b22 = b12 + count;
    float *t1 = (float *)(void *)call->prepared + panel * count, *t2 = t1 + quarter, *t3 = t2 + quarter, *t4 = t3 + quarter;
    for (size_t i = 0; i < count; i++) {
        t1[i] = b12[i] - b11[i];
        t2[i] = b22[i] - t1[i];
        t3[i] = b22[i] - b12[i];
        t4[i] = b21[i] - t2[i];
    }
}

void tody_strassen_prepare(const tody_call *call) {
    const tody_tensor w = tody_in(call, 1);
    tody_call preparing = *call;
    tody_for(call, half_panels(&w), prepare_panel, &preparing);
}

static uint32_t block_panels(const tody_tensor *w) { return tody_min_u32(half_panels(w), BLOCK_PANELS); }

static uint32_t most_upper(uint32_t rows) { return tody_div_up(tody_min_u32(rows, BLOCK_ROWS), 2); }

// What a thread has beside the pointers of its products: sums of rows, and what is made in between.
static size_t thread_bytes(const tody_tensor *w, uint32_t rows) {
    const uint64_t values = half_depth(w) + (uint64_t)block_panels(w) * TODY_PANEL;
    return tody_scratch_bytes(most_upper(rows) * QUARTERS * values * sizeof(float));
}

size_t tody_strassen_scratch(const tody_call *call) {
    const tody_tensor w = tody_in(call, 1);
    const uint64_t all = (uint64_t)thread_bytes(&w, rows_of(call)) * tody_threads(call);
    return tody_scratch_bytes(tody_gemm_scratch(call, TODY_F32, 1, half_depth(&w)) + all);
}

// The sums of a row of the upper half and the one below it; of the last row, if there is none, and itself.
static void sum_rows(const job *job, const block *b) {
    const tody_gemm *g = job->gemm;
    for (uint32_t i = 0; i < b->upper; i++) {
        const void *a, *below;
        g->gather(g->source, b->first + i, 1, &a);
        g->gather(g->source, b->first + i + (i < b->lower ? b->upper : 0), 1, &below);
        const tody_strassen_in in = {job->half, a, below, b->sums + (size_t)i * job->half, (size_t)b->upper * job->half};
        job->call->kernels->strassen_in_f32(&in);
    }
}

// Quarters of the rows where they are: from row `first` and byte `offset` on.
typedef struct quarter {
    const tody_gemm *gemm;
    uint32_t first;
    size_t offset;
} quarter;

static void gather_quarter(const void *source, uint32_t first, uint32_t rows, const void **a) {
    const quarter *q = source;
    q->gemm->gather(q->gemm->source, q->first + first, rows, a);
    for (uint32_t i = 0; i < rows; i++) a[i] = (const uint8_t *)a[i] + q->offset;
}

// The weights of a step, from the block's panel on.
static void set_weights(const job *job, const block *b, uint32_t weights, tody_gemm *p) {
    const size_t bytes = tody_panel_bytes(TODY_F32, 1, job->half);
    if (weights >= T1) {
        p->w = job->call->prepared + ((size_t)(weights - T1) * job->panels + b->panel) * bytes;
        p->w_stride_bytes = bytes;
    } else {
        const uint32_t panel = b->panel + (weights == B22 ? job->panels : 0);
        p->w = (const uint8_t *)p->w + panel * p->w_stride_bytes + (weights == B11 ? 0 : bytes);
    }
}

// Of what is made in between only z has a bias, that of the right half, which goes on from there.
static void set_result(const job *job, const block *b, const step *s, tody_gemm *p) {
    const size_t left = (size_t)b->panel * TODY_PANEL, right = left + (size_t)job->panels * TODY_PANEL;
    p->bias = NULL;
    if (job->gemm->bias && (s->c == C11 || s->c == C21 || s->c == Z))
        p->bias = (const float *)job->gemm->bias + (s->c == Z ? right : left);
    p->addend = s->addend == NONE ? NULL : b->made[s->addend];
    p->addend_stride = b->cols;
    if (s->c <= W) {
        p->c = b->made[s->c];
        p->c_stride = b->cols;
        p->activation = (tody_activation){0};
    } else {
        p->c = (float *)p->c + (b->first + (s->c == C21 ? b->upper : 0)) * p->c_stride + (s->c == C12 ? right : left);
    }
}

static void multiply(const job *job, const block *b, const step *s, uint32_t thread) {
    tody_gemm p = *job->gemm;
    const quarter q = {job->gemm, b->first + (s->a == A22 ? b->upper : 0), s->a == A11 ? 0 : job->half * sizeof(float)};
    const tody_matrix sums = {b->sums + (size_t)(s->a - S1) * b->upper * job->half, job->half * sizeof(float)};
    p.gather = s->a >= S1 ? tody_gather_matrix : gather_quarter;
    p.source = s->a >= S1 ? (const void *)&sums : &q;
    p.rows = s->c == Y || s->c == C21 ? b->lower : b->upper;
    p.cols = b->cols;
    p.depth = job->half;
    set_weights(job, b, s->b, &p);
    set_result(job, b, s, &p);
    if (p.rows) tody_gemm_here(job->call, &p, thread);
}

// c22 is made here, and what is made in between gets what it still lacks.
static void add_results(const job *job, const block *b) {
    const tody_gemm *g = job->gemm;
    const tody_activation *f = &g->activation;
    const size_t left = (size_t)b->panel * TODY_PANEL, right = left + (size_t)job->panels * TODY_PANEL;
    for (uint32_t i = 0; i < b->upper; i++) {
        const size_t at = (size_t)i * b->cols, row = b->first + i, below = row + b->upper;
        const float *addend = g->addend ? (const float *)g->addend + row * g->addend_stride + left : NULL;
        const tody_strassen_out out = {
            .count = b->cols,
            .x = b->made[X] + at,
            .y = b->made[Y] + at,
            .z = b->made[Z] + at,
            .w = b->made[W] + at,
            .c = i < b->lower ? (float *)g->c + below * g->c_stride + right : NULL,
            .addend = addend,
            .below = addend ? addend + b->upper * g->addend_stride : NULL,
            .right = right - left,
            .lo = tody_low(f),
            .hi = tody_high(f),
        };
        job->call->kernels->strassen_out_f32(&out);
        if (out.c && tody_needs_unary(f)) job->call->kernels->unary_f32(f->fn, f->a, f->b, out.c, out.c, out.count);
    }
}

static void run_block(const job *job, const block *b, uint32_t thread) {
    for (uint32_t i = 0; i < sizeof first_steps / sizeof *first_steps; i++) multiply(job, b, &first_steps[i], thread);
    add_results(job, b);
    for (uint32_t i = 0; i < sizeof last_steps / sizeof *last_steps; i++) multiply(job, b, &last_steps[i], thread);
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const uint32_t rows = job->gemm->rows, index = task / job->parts, part = task % job->parts;
    const uint32_t begin = tody_share(rows, index, job->blocks), end = tody_share(rows, index + 1, job->blocks);
    const uint32_t last = tody_share(job->panels, part + 1, job->parts);
    block b = {.first = begin, .upper = tody_div_up(end - begin, 2), .lower = (end - begin) / 2};
    b.sums = (float *)(void *)(job->scratch + thread * job->thread_bytes);
    sum_rows(job, &b);
    b.panel = tody_share(job->panels, part, job->parts);
    for (uint32_t some; b.panel < last; b.panel += some) {
        some = tody_min_u32(last - b.panel, BLOCK_PANELS);
        b.cols = some * TODY_PANEL;
        for (uint32_t i = 0; i < QUARTERS; i++)
            b.made[i] = b.sums + b.upper * ((size_t)QUARTERS * job->half + (size_t)i * b.cols);
        run_block(job, &b, thread);
    }
}

// Parts of the columns where blocks do not keep all threads busy: each sums all rows again.
void tody_strassen_run(const tody_call *call, const tody_gemm *gemm) {
    const tody_tensor w = tody_in(call, 1);
    job job = {call, gemm, NULL, thread_bytes(&w, gemm->rows), half_depth(&w), half_panels(&w), 0, 1};
    job.scratch = (uint8_t *)(void *)gemm->pointers + tody_gemm_scratch(call, TODY_F32, 1, job.half);
    job.blocks = tody_div_up(gemm->rows, BLOCK_ROWS);
    while (!tody_shares_well(call, job.blocks * job.parts) && job.parts < job.panels) job.parts++;
    tody_for(call, job.blocks * job.parts, run_task, &job);
}
