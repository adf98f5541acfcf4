// softmax.c - softmax and its logarithm along one axis.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { COLUMNS = 16, BLOCK = 64 };  // COLUMNS: of an axis that is not the last one, taken together

typedef struct job {
    const tody_kernels *kernels;
    const float *x;
    float *y, *scratch;
    uint32_t length, inner;  // of the axis; elements behind it
    bool log;
} job;

static tody_status softmax_check(const tody_call *call) {
    const tody_softmax_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (!tody_plain_f32(&x) || !tody_plain_f32(&y)) return TODY_ERR_DTYPE;
    if (p->axis >= x.rank || p->log > 1) return TODY_ERR_PARAM;
    return tody_same_shape(&x, &y) ? TODY_OK : TODY_ERR_SHAPE;
}

static size_t softmax_scratch(const tody_call *call) {
    const tody_tensor x = tody_in(call, 0);
    const uint32_t axis = ((const tody_softmax_params *)call->params)->axis;
    if (tody_extent(&x, axis + 1, x.rank) == 1) return 0;
    return tody_scratch_bytes((uint64_t)tody_threads(call) * COLUMNS * x.shape[axis] * sizeof(float));
}

// x - max - log(sum(exp(x - max))); y may be x
static void log_softmax(const tody_kernels *k, const float *x, float *y, uint32_t count) {
    const float infinity = __builtin_inff();
    float most = x[0], block[BLOCK], sum = 0.0f;
    for (uint32_t i = 1; i < count; i++) most = x[i] > most ? x[i] : most;
    k->binary_f32(TODY_FN2_SUB, x, 1, &most, 0, y, count, -infinity, infinity);
    for (uint32_t at = 0; at < count; at += BLOCK) {
        const uint32_t n = tody_min_u32(count - at, BLOCK);
        float part = 0.0f;
        k->unary_f32(TODY_FN_EXP, 0.0f, 0.0f, y + at, block, n);
        for (uint32_t i = 0; i < n; i++) part += block[i];
        sum += part;
    }
    k->unary_f32(TODY_FN_LOG, 0.0f, 0.0f, &sum, &sum, 1);
    k->binary_f32(TODY_FN2_SUB, y, 1, &sum, 0, y, count, -infinity, infinity);
}

static void row(const job *j, const float *x, float *y) {
    if (TODY_FLOAT && j->log) {
        log_softmax(j->kernels, x, y, j->length);
    } else {
        j->kernels->softmax_f32(x, y, j->length);
    }
}

static void run_rows(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) row(j, j->x + (size_t)i * j->length, j->y + (size_t)i * j->length);
}

// Some columns become rows in scratch, and columns again.
static void run_columns(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    const uint32_t groups = tody_div_up(j->inner, COLUMNS);
    float *rows = j->scratch + (size_t)thread * COLUMNS * j->length;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t column = i % groups * COLUMNS, columns = tody_min_u32(j->inner - column, COLUMNS);
        const size_t at = (size_t)(i / groups) * j->length * j->inner + column;
        j->kernels->transpose_b32((const uint32_t *)(const void *)(j->x + at), j->inner, (uint32_t *)(void *)rows, j->length,
                                  j->length, columns);
        for (uint32_t c = 0; c < columns; c++) row(j, rows + (size_t)c * j->length, rows + (size_t)c * j->length);
        j->kernels->transpose_b32((const uint32_t *)(const void *)rows, j->length, (uint32_t *)(void *)(j->y + at), j->inner,
                                  columns, j->length);
    }
}

static void softmax_run(const tody_call *call) {
    const tody_softmax_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const uint32_t length = x.shape[p->axis], inner = tody_extent(&x, p->axis + 1, x.rank), outer = tody_extent(&x, 0, p->axis);
    const job job = {call->kernels, x.data, y.data, (float *)(void *)call->scratch, length, inner, p->log};
    if (inner == 1) {
        tody_for_ranges(call, outer, TODY_GRAIN / 8 / length + 1, run_rows, &job);
    } else {
        tody_for_ranges(call, outer * tody_div_up(inner, COLUMNS), TODY_GRAIN / 8 / COLUMNS / length + 1, run_columns, &job);
    }
}

const tody_op tody_op_softmax = {
    .name = "softmax",
    .code = TODY_OP_SOFTMAX,
    .param_bytes = sizeof(tody_softmax_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = softmax_check,
    .scratch = softmax_scratch,
    .run = softmax_run,
};
