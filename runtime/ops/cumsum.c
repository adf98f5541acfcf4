// cumsum.c - running sums along an axis.
// SPDX-License-Identifier: Apache-2.0
#include "nest.h"
#include "shape.h"

typedef struct job {
    const void *x;
    void *y;
    uint32_t length, inner;  // of the axis; elements behind it
    const tody_cumsum_params *params;
} job;

static tody_status cumsum_check(const tody_call *call) {
    const tody_cumsum_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if ((x.dtype != TODY_F32 && x.dtype != TODY_S32) || y.dtype != x.dtype || x.pack || y.pack) return TODY_ERR_DTYPE;
    if (p->axis >= x.rank || p->exclusive > 1 || p->reverse > 1) return TODY_ERR_PARAM;
    return tody_same_shape(&x, &y) ? TODY_OK : TODY_ERR_SHAPE;
}

// Where step i of a column is.
static size_t step_at(const job *j, uint32_t column, uint32_t i) {
    const uint32_t step = j->params->reverse ? j->length - 1 - i : i;
    return ((size_t)(column / j->inner) * j->length + step) * j->inner + column % j->inner;
}

// In double precision, so that the error does not grow with the length.
static void run_f32(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t column = begin; column < end; column++) {
        double sum = 0.0;
        for (uint32_t i = 0; i < j->length; i++) {
            const size_t at = step_at(j, column, i);
            const double next = sum + (double)((const float *)j->x)[at];
            ((float *)j->y)[at] = (float)(j->params->exclusive ? sum : next);
            sum = next;
        }
    }
}

static void run_s32(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t column = begin; column < end; column++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < j->length; i++) {
            const size_t at = step_at(j, column, i);
            const uint32_t next = sum + ((const uint32_t *)j->x)[at];
            ((uint32_t *)j->y)[at] = j->params->exclusive ? sum : next;
            sum = next;
        }
    }
}

static void cumsum_run(const tody_call *call) {
    const tody_cumsum_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const job job = {x.data, y.data, x.shape[p->axis], tody_extent(&x, p->axis + 1, x.rank), p};
    const uint32_t grain = TODY_GRAIN / 4 / job.length + 1;
    tody_for_ranges(call, x.count / job.length, grain, x.dtype == TODY_F32 ? run_f32 : run_s32, &job);
}

const tody_op tody_op_cumsum = {
    .name = "cumsum",
    .code = TODY_OP_CUMSUM,
    .param_bytes = sizeof(tody_cumsum_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = cumsum_check,
    .run = cumsum_run,
};
