// attention.c - y = softmax(q * k + addend) * v, a few rows of the scores at a time, which never leave the cache.
// SPDX-License-Identifier: Apache-2.0
//
// The scores of all rows are as large as the square of a sequence. Here a thread has those of some rows in its scratch, and
// makes of them the rows of the result before it goes on. Source of the idea: Markus Rabe and Charles Staats, "Self-attention
// does not need O(n^2) memory", 2021; but a row of scores is whole here, so each result has the bits of the three operators one
// by one.
#include "batches.h"
#include "block.h"

enum {
    Q = 0,
    K = 1,
    V = 2,
    ADDEND = 3,
    SCORES_BYTES = 1 << 17,  // of a thread's scores: a quarter of a small second-level cache, of which panels need a part
};

typedef struct job {
    const tody_call *call;
    tody_tensor q, k, v, addend, y;
    uint32_t batches, rows, depth, keys, cols;  // of all, then of a batch: y has rows x cols, its scores rows x keys
    uint32_t parts;                             // tasks of a batch
    uint32_t strip;                             // rows of scores at a time, at most
    size_t pointers, k_panels, v_panels;        // bytes of these in the scratch of a thread, in which scores come last
    size_t thread_bytes;
} job;

static bool is_matrix(const tody_tensor *t, uint32_t rows, uint32_t cols) {
    return t->shape[t->rank - 2] == rows && t->shape[t->rank - 1] == cols;
}

static tody_status attention_check(const tody_call *call) {
    const tody_attention_params *p = call->params;
    const tody_tensor q = tody_in(call, Q), k = tody_in(call, K), v = tody_in(call, V), y = tody_out(call, 0);
    const tody_tensor addend = tody_has_in(call, ADDEND) ? tody_in(call, ADDEND) : y;
    const tody_tensor *all[] = {&q, &k, &v, &addend, &y};
    if (p->transpose_k > 1) return TODY_ERR_PARAM;
    for (uint32_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!tody_plain_f32(all[i])) return TODY_ERR_DTYPE;
        if (all[i]->rank != y.rank || y.rank < 2) return TODY_ERR_SHAPE;
    }
    if (!tody_batches_fit(&q, &k, &y) || !tody_batches_fit(&v, &y, &y) || !tody_batches_fit(&addend, &y, &y))
        return TODY_ERR_SHAPE;
    const uint32_t row = y.rank - 2, col = y.rank - 1, rows = y.shape[row], keys = v.shape[row], depth = q.shape[col];
    bool fits = is_matrix(&q, rows, depth) && is_matrix(&v, keys, y.shape[col]);
    fits = fits && (p->transpose_k ? is_matrix(&k, keys, depth) : is_matrix(&k, depth, keys));
    if (tody_has_in(call, ADDEND)) fits = fits && (is_matrix(&addend, rows, keys) || is_matrix(&addend, 1, keys));
    return fits ? TODY_OK : TODY_ERR_SHAPE;
}

// Bytes of a matrix in panels.
static size_t panels_bytes(uint32_t cols, uint32_t depth) {
    return tody_scratch_bytes((uint64_t)tody_panels_length(cols) * depth * sizeof(float));
}

static job make_job(const tody_call *call) {
    job job = {.call = call, .q = tody_in(call, Q), .k = tody_in(call, K), .v = tody_in(call, V), .y = tody_out(call, 0)};
    const tody_kernels *kernels = call->kernels;
    const uint32_t row = job.y.rank - 2, col = job.y.rank - 1;
    if (tody_has_in(call, ADDEND)) job.addend = tody_in(call, ADDEND);
    job.batches = tody_extent(&job.y, 0, row);
    job.rows = job.y.shape[row];
    job.cols = job.y.shape[col];
    job.depth = job.q.shape[col];
    job.keys = job.v.shape[row];
    job.parts = tody_parts_of_batch(call, job.batches, job.rows);
    const uint32_t fit = SCORES_BYTES / (uint32_t)sizeof(float) / job.keys;
    job.strip = tody_min_u32(job.rows, tody_max_u32(fit, TODY_MAX_ROWS));
    const size_t first = tody_block_bytes(kernels, TODY_F32, 1, job.depth, call->pointer_bytes);
    const size_t second = tody_block_bytes(kernels, TODY_F32, 1, job.keys, call->pointer_bytes);
    job.pointers = first > second ? first : second;
    job.k_panels = panels_bytes(job.keys, job.depth);
    job.v_panels = panels_bytes(job.cols, job.keys);
    const uint64_t scores = (uint64_t)job.strip * job.keys * sizeof(float);
    job.thread_bytes = tody_scratch_bytes((uint64_t)job.pointers + job.k_panels + job.v_panels + scores);
    return job;
}

static size_t attention_scratch(const tody_call *call) {
    return tody_scratch_bytes((uint64_t)make_job(call).thread_bytes * tody_threads(call));
}

static void pack(const job *job, const tody_columns *matrix, float *panels) {
    for (uint32_t first = 0; first < matrix->cols; first += TODY_PANEL) {
        tody_pack_columns(job->call->kernels, matrix, first, panels);
        panels += (size_t)matrix->depth * TODY_PANEL;
    }
}

// rows [rows, depth] times panels of `cols` columns.
static tody_gemm product(const tody_matrix *matrix, uint32_t rows, uint32_t depth, const float *panels, float *c,
                         uint32_t cols) {
    return (tody_gemm){
        .dtype = TODY_F32,
        .rows = rows,
        .cols = cols,
        .taps = 1,
        .depth = depth,
        .gather = tody_gather_matrix,
        .source = matrix,
        .w = panels,
        .w_stride_bytes = tody_panel_bytes(TODY_F32, 1, depth),
        .c = c,
        .c_stride = cols,
    };
}

// Rows [first, first + rows) of a batch, by the thread whose scratch this is.
static void run_strip(const job *job, uint32_t batch, uint32_t first, uint32_t rows, uint8_t *scratch) {
    const float *k_panels = (const float *)(void *)(scratch + job->pointers);
    const float *v_panels = (const float *)(void *)(scratch + job->pointers + job->k_panels);
    float *scores = (float *)(void *)(scratch + job->pointers + job->k_panels + job->v_panels);
    float *y = (float *)job->y.data + ((size_t)batch * job->rows + first) * job->cols;
    const float *q = (const float *)tody_matrix_of(&job->q, &job->y, batch) + (size_t)first * job->depth;
    const tody_matrix from = {q, job->depth * sizeof(float)}, weights = {scores, job->keys * sizeof(float)};
    tody_gemm gemm = product(&from, rows, job->depth, k_panels, scores, job->keys);
    gemm.pointers = (const void **)(void *)scratch;
    if (job->addend.data) {
        gemm.addend_stride = job->addend.shape[job->addend.rank - 2] > 1 ? job->keys : 0;
        gemm.addend = (const float *)tody_matrix_of(&job->addend, &job->y, batch) + first * gemm.addend_stride;
    }
    tody_gemm_here(job->call, &gemm, 0);
    for (uint32_t i = 0; i < rows; i++) {
        job->call->kernels->softmax_f32(scores + (size_t)i * job->keys, scores + (size_t)i * job->keys, job->keys);
    }
    gemm = product(&weights, rows, job->keys, v_panels, y, job->cols);
    gemm.pointers = (const void **)(void *)scratch;
    tody_gemm_here(job->call, &gemm, 0);
}

static void run_part(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_attention_params *params = job->call->params;
    const uint32_t batch = task / job->parts, part = task % job->parts;
    const uint32_t begin = tody_share(job->rows, part, job->parts), end = tody_share(job->rows, part + 1, job->parts);
    const uint32_t strips = tody_div_up(end - begin, job->strip);
    uint8_t *scratch = job->call->scratch + thread * job->thread_bytes, *panels = scratch + job->pointers;
    const tody_columns k = {tody_matrix_of(&job->k, &job->y, batch), job->keys, job->depth, params->transpose_k};
    const tody_columns v = {tody_matrix_of(&job->v, &job->y, batch), job->cols, job->keys, false};
    pack(job, &k, (float *)(void *)panels);
    pack(job, &v, (float *)(void *)(panels + job->k_panels));
    for (uint32_t s = 0; s < strips; s++) {
        const uint32_t first = begin + tody_share(end - begin, s, strips),
                       next = begin + tody_share(end - begin, s + 1, strips);
        run_strip(job, batch, first, next - first, scratch);
    }
}

static void attention_run(const tody_call *call) {
    job job = make_job(call);
    tody_for(call, job.batches * job.parts, run_part, &job);
}

const tody_op tody_op_attention = {
    .name = "attention",
    .code = TODY_OP_ATTENTION,
    .param_bytes = sizeof(tody_attention_params),
    .min_inputs = 3,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 3,
    .check = attention_check,
    .scratch = attention_scratch,
    .run = attention_run,
};
