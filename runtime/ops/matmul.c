// matmul.c - batched product of two activations: b is packed into panels at run time.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "batches.h"
#include "quant.h"

enum { A = 0, B = 1, SCALE = 2 };

typedef struct job {
    const tody_call *call;
    tody_tensor a, b, y;
    uint32_t batches, rows, cols, depth;
    uint32_t parts;           // tasks of a batch that runs side by side with others
    size_t panels_bytes;      // of one packed matrix
    uint8_t *panels;          // one per thread, or one for all
    const void *packing;      // the matrix that pack_task packs
    float scale[TODY_PANEL];  // int8: the multiplier, for each column of a panel
} job;

static tody_status matmul_check(const tody_call *call) {
    const tody_matmul_params *p = call->params;
    const tody_tensor a = tody_in(call, A), b = tody_in(call, B), y = tody_out(call, 0);
    if (!tody_is_real(&a) || !tody_is_real(&b) || !tody_is_real(&y)) return TODY_ERR_DTYPE;
    if (b.dtype != a.dtype || y.dtype != a.dtype || a.dtype == TODY_S16) return TODY_ERR_DTYPE;
    if (p->transpose_b > 1) return TODY_ERR_PARAM;
    if (a.rank < 2 || b.rank != a.rank || y.rank != a.rank || !tody_batches_fit(&a, &b, &y)) return TODY_ERR_SHAPE;
    const uint32_t row = a.rank - 2, col = a.rank - 1;
    const uint32_t depth = b.shape[p->transpose_b ? col : row], cols = b.shape[p->transpose_b ? row : col];
    bool fits = a.shape[col] == depth && y.shape[row] == a.shape[row] && y.shape[col] == cols;
    if (!fits) return TODY_ERR_SHAPE;
    if (a.dtype == TODY_S8) return tody_check_last_multipliers(call, SCALE, 1);
    return call->in_count == SCALE ? TODY_OK : TODY_ERR_OP_RECORD;
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
    job.panels_bytes = tody_panels_bytes(job.y.dtype, job.cols, 1, job.depth);
    return job;
}

// Enough batches to keep all threads busy run side by side, each with its own panels.
static bool side_by_side(const job *job) { return job->batches >= tody_threads(job->call); }

// The pointers of all threads, then packed matrices.
static size_t matmul_scratch(const tody_call *call) {
    const job job = make_job(call);
    const uint64_t panels = tody_div_up(job.cols, TODY_PANEL) * (uint64_t)tody_panel_bytes(job.y.dtype, 1, job.depth);
    const uint64_t copies = side_by_side(&job) ? tody_threads(call) : 1;
    return tody_scratch_bytes(tody_gemm_scratch(call, job.y.dtype, 1, job.depth) + panels * copies);
}

// Four rows of b, [depth, cols], side by side: those that are missing are zero.
static void pack_rows_s8(const int8_t *b, uint32_t rows, size_t stride, uint32_t cols, int8_t *to) {
    static const int8_t zeros[TODY_PANEL] = {0};
    const int8_t *row[TODY_GROUP_S8];
    for (uint32_t i = 0; i < TODY_GROUP_S8; i++) row[i] = i < rows ? b + i * stride : zeros;
    for (uint32_t n = 0; n < cols; n++, to += TODY_GROUP_S8) {
        for (uint32_t i = 0; i < TODY_GROUP_S8; i++) to[i] = row[i][n];
    }
}

// Four values of each row of b, [cols, depth].
static void pack_columns_s8(const int8_t *b, uint32_t some, size_t stride, uint32_t cols, int8_t *to) {
    for (uint32_t n = 0; n < cols; n++, to += TODY_GROUP_S8, b += stride) {
        if (some == TODY_GROUP_S8)
            memcpy(to, b, TODY_GROUP_S8);
        else
            memcpy(to, b, some);
    }
}

// Columns [first, first + cols) of b, at most 16, four values of depth of each side by side; what is missing is zero.
static void pack_s8(const job *job, const int8_t *b, uint32_t first, uint32_t cols, int8_t *panel) {
    const bool transposed = ((const tody_matmul_params *)job->call->params)->transpose_b;
    const uint32_t depth = job->depth;
    if (cols < TODY_PANEL || depth % TODY_GROUP_S8 != 0) memset(panel, 0, tody_panel_bytes(TODY_S8, 1, depth));
    for (uint32_t k = 0; k < depth; k += TODY_GROUP_S8, panel += TODY_PANEL * TODY_GROUP_S8) {
        const uint32_t some = tody_min_u32(depth - k, TODY_GROUP_S8);
        if (transposed)
            pack_columns_s8(b + (size_t)first * depth + k, some, depth, cols, panel);
        else
            pack_rows_s8(b + (size_t)k * job->cols + first, some, job->cols, cols, panel);
    }
}

static void pack_panel(const job *job, const void *b, uint32_t p, uint8_t *panels) {
    const uint32_t first = p * TODY_PANEL, cols = tody_min_u32(job->cols - first, TODY_PANEL);
    const tody_matmul_params *params = job->call->params;
    const tody_columns matrix = {b, job->cols, job->depth, params->transpose_b};
    void *panel = panels + p * tody_panel_bytes(job->y.dtype, 1, job->depth);
    if (job->y.dtype == TODY_S8) {
        pack_s8(job, b, first, cols, panel);
    } else {
        tody_pack_columns(job->call->kernels, &matrix, first, panel);
    }
}

static void pack_task(void *context, uint32_t p, uint32_t thread) {
    const job *job = context;
    (void)thread;
    pack_panel(job, job->packing, p, job->panels);
}

static tody_matrix rows_of(const job *job, uint32_t batch) {
    return (tody_matrix){tody_matrix_of(&job->a, &job->y, batch), job->depth * tody_dtype_bytes(job->y.dtype)};
}

static tody_gemm product(const job *job, uint32_t batch, const tody_matrix *rows, const void *panels) {
    const size_t matrix_bytes = (size_t)job->rows * job->cols * tody_dtype_bytes(job->y.dtype);
    return (tody_gemm){
        .dtype = job->y.dtype,
        .rows = job->rows,
        .cols = job->cols,
        .taps = 1,
        .depth = job->depth,
        .gather = tody_gather_matrix,
        .source = rows,
        .w = panels,
        .w_stride_bytes = tody_panel_bytes(job->y.dtype, 1, job->depth),
        .c = (uint8_t *)job->y.data + batch * matrix_bytes,
        .c_stride = job->cols,
        .scale = job->scale,
        .layer = {.x_zero = job->a.zero_point, .w_zero = job->b.zero_point, .finish = tody_finish_of(NULL, &job->y)},
        .pointers = (const void **)(void *)job->call->scratch,
    };
}

static void run_part(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const uint32_t batch = task / job->parts, part = task % job->parts;
    const uint32_t first = tody_share(job->rows, part, job->parts), end = tody_share(job->rows, part + 1, job->parts);
    tody_matrix rows = rows_of(job, batch);
    const void *b = tody_matrix_of(&job->b, &job->y, batch);
    uint8_t *panels = job->panels + thread * job->panels_bytes;
    for (uint32_t p = 0; p < tody_div_up(job->cols, TODY_PANEL); p++) pack_panel(job, b, p, panels);
    tody_gemm gemm = product(job, batch, &rows, panels);
    gemm.rows = end - first;
    gemm.c = (uint8_t *)gemm.c + (size_t)first * job->cols * tody_dtype_bytes(job->y.dtype);
    rows.data = (const uint8_t *)rows.data + first * rows.stride_bytes;
    tody_gemm_here(job->call, &gemm, thread);
}

static void matmul_run(const tody_call *call) {
    job job = make_job(call);
    job.panels = call->scratch + tody_gemm_scratch(call, job.y.dtype, 1, job.depth);
    for (uint32_t n = 0; job.y.dtype == TODY_S8 && n < TODY_PANEL; n++) {
        job.scale[n] = *(const float *)tody_in(call, SCALE).data;
    }
    if (side_by_side(&job)) {
        job.parts = tody_parts_of_batch(call, job.batches, job.rows);
        tody_for(call, job.batches * job.parts, run_part, &job);
        return;
    }
    for (uint32_t batch = 0; batch < job.batches; batch++) {
        const tody_matrix rows = rows_of(&job, batch);
        job.packing = tody_matrix_of(&job.b, &job.y, batch);
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
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = matmul_check,
    .scratch = matmul_scratch,
    .run = matmul_run,
};
