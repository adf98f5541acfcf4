// matmul.c - batched product of two activations: b is packed into panels at run time.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "gemm.h"
#include "shape.h"

enum { A = 0, B = 1 };

typedef struct job {
    const tody_call *call;
    tody_tensor a, b, y;
    uint32_t batches, rows, cols, depth;
    size_t panel_floats;   // of one packed matrix
    float *panels;         // one per thread, or one for all
    const float *packing;  // the matrix that pack_task packs
} job;

static bool broadcasts(const tody_tensor *a, const tody_tensor *b, const tody_tensor *y) {
    for (uint32_t d = 0; d + 2 < y->rank; d++) {
        if (a->shape[d] != b->shape[d] && a->shape[d] != 1 && b->shape[d] != 1) return false;
        if (y->shape[d] != tody_max_u32(a->shape[d], b->shape[d])) return false;
    }
    return true;
}

static tody_status matmul_check(const tody_call *call) {
    const tody_matmul_params *p = call->params;
    const tody_tensor a = tody_in(call, A), b = tody_in(call, B), y = tody_out(call, 0);
    if (!tody_plain_f32(&a) || !tody_plain_f32(&b) || !tody_plain_f32(&y)) return TODY_ERR_DTYPE;
    if (p->transpose_b > 1) return TODY_ERR_PARAM;
    if (a.rank < 2 || b.rank != a.rank || y.rank != a.rank || !broadcasts(&a, &b, &y)) return TODY_ERR_SHAPE;
    const uint32_t row = a.rank - 2, col = a.rank - 1;
    const uint32_t depth = b.shape[p->transpose_b ? col : row], cols = b.shape[p->transpose_b ? row : col];
    bool fits = a.shape[col] == depth && y.shape[row] == a.shape[row] && y.shape[col] == cols;
    return fits ? TODY_OK : TODY_ERR_SHAPE;
}

static job make_job(const tody_call *call) {
    job job = {.call = call, .a = tody_in(call, A), .b = tody_in(call, B), .y = tody_out(call, 0)};
    const uint32_t rank = job.y.rank;
    job.batches = tody_extent(&job.y, 0, rank - 2);
    job.rows = job.y.shape[rank - 2];
    job.cols = job.y.shape[rank - 1];
    job.depth = job.a.shape[rank - 1];
    if (tody_extent(&job.b, 0, rank - 2) == 1) {  // one b for all: the batch is nothing but more rows
        job.rows *= job.batches;
        job.batches = 1;
    }
    return job;
}

// Enough batches to keep all threads busy run side by side, each with its own panels.
static bool side_by_side(const job *job) { return job->batches >= tody_threads(job->call); }

// The pointers of all threads, then packed matrices.
static size_t matmul_scratch(const tody_call *call) {
    const job job = make_job(call);
    const uint64_t panels = (uint64_t)tody_div_up(job.cols, TODY_PANEL) * TODY_PANEL * job.depth * sizeof(float);
    const uint64_t copies = side_by_side(&job) ? tody_threads(call) : 1;
    return tody_scratch_bytes(tody_gemm_scratch(call, 1, job.depth) + panels * copies);
}

// Where matrix `batch` of the result finds its matrix in x, whose batch dimensions may be 1.
static const float *matrix_of(const tody_tensor *x, const tody_tensor *y, uint32_t batch) {
    size_t at = 0, step = 1;
    for (uint32_t d = y->rank - 2; d-- > 0;) {
        if (x->shape[d] > 1) at += batch % y->shape[d] * step;
        batch /= y->shape[d];
        step *= x->shape[d];
    }
    return (const float *)x->data + at * x->shape[x->rank - 2] * x->shape[x->rank - 1];
}

// Panel p of b: 16 columns side by side, depth by depth; columns that are missing are zero.
static void pack_panel(const job *job, const float *b, uint32_t p, float *panel) {
    const tody_matmul_params *params = job->call->params;
    const uint32_t first = p * TODY_PANEL, cols = tody_min_u32(job->cols - first, TODY_PANEL);
    if (cols < TODY_PANEL) memset(panel, 0, (size_t)job->depth * TODY_PANEL * sizeof(float));
    if (params->transpose_b) {
        const uint32_t *x = (const uint32_t *)(const void *)(b + (size_t)first * job->depth);
        job->call->kernels->transpose_b32(x, job->depth, (uint32_t *)(void *)panel, TODY_PANEL, cols, job->depth);
        return;
    }
    for (uint32_t k = 0; k < job->depth; k++, panel += TODY_PANEL) {
        memcpy(panel, b + (size_t)k * job->cols + first, cols * sizeof(float));
    }
}

static void pack_task(void *context, uint32_t p, uint32_t thread) {
    const job *job = context;
    (void)thread;
    pack_panel(job, job->packing, p, job->panels + (size_t)p * job->depth * TODY_PANEL);
}

static tody_gemm product(const job *job, uint32_t batch, const tody_matrix *rows, const float *panels) {
    return (tody_gemm){
        .rows = job->rows,
        .cols = job->cols,
        .taps = 1,
        .depth = job->depth,
        .gather = tody_gather_matrix,
        .source = rows,
        .w = panels,
        .w_stride = tody_panels_floats(1, 1, job->depth),
        .c = (float *)job->y.data + (size_t)batch * job->rows * job->cols,
        .c_stride = job->cols,
        .pointers = (const float **)(void *)job->call->scratch,
    };
}

static void run_batch(void *context, uint32_t batch, uint32_t thread) {
    const job *job = context;
    const tody_matrix rows = {matrix_of(&job->a, &job->y, batch), job->depth};
    const float *b = matrix_of(&job->b, &job->y, batch);
    float *panels = job->panels + thread * job->panel_floats;
    for (uint32_t p = 0; p < tody_div_up(job->cols, TODY_PANEL); p++) {
        pack_panel(job, b, p, panels + (size_t)p * job->depth * TODY_PANEL);
    }
    const tody_gemm gemm = product(job, batch, &rows, panels);
    tody_gemm_here(job->call, &gemm, thread);
}

static void matmul_run(const tody_call *call) {
    job job = make_job(call);
    job.panel_floats = tody_panels_floats(job.cols, 1, job.depth);
    job.panels = (float *)(void *)(call->scratch + tody_gemm_scratch(call, 1, job.depth));
    if (side_by_side(&job)) {
        tody_for(call, job.batches, run_batch, &job);
        return;
    }
    for (uint32_t batch = 0; batch < job.batches; batch++) {
        const tody_matrix rows = {matrix_of(&job.a, &job.y, batch), job.depth};
        job.packing = matrix_of(&job.b, &job.y, batch);
        tody_for(call, tody_div_up(job.cols, TODY_PANEL), pack_task, &job);
        const tody_gemm gemm = product(&job, batch, &rows, job.panels);
        tody_gemm_run(call, &gemm);
    }
}

const tody_op tody_op_matmul = {
    .name = "matmul",
    .code = TODY_OP_MATMUL,
    .param_bytes = sizeof(tody_matmul_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = matmul_check,
    .scratch = matmul_scratch,
    .run = matmul_run,
};
