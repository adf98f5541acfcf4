// arg_reduce.c - where the largest or smallest element of an axis is.
// SPDX-License-Identifier: Apache-2.0
#include "nest.h"
#include "shape.h"

typedef struct job {
    const void *x;
    int32_t *y;
    uint32_t length, inner;  // of the axis; elements behind it
    const tody_arg_reduce_params *params;
} job;

static tody_status arg_reduce_check(const tody_call *call) {
    const tody_arg_reduce_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if ((x.dtype != TODY_F32 && x.dtype != TODY_S32) || y.dtype != TODY_S32 || x.pack || y.pack) return TODY_ERR_DTYPE;
    if (p->axis >= x.rank || p->least > 1 || p->last > 1) return TODY_ERR_PARAM;
    if (x.rank != y.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < x.rank; d++) {
        if (y.shape[d] != (d == p->axis ? 1 : x.shape[d])) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

// The first NaN wins.
static uint32_t find_f32(const job *j, const float *x) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < j->length; i++) {
        const float value = x[(size_t)i * j->inner], held = x[(size_t)best * j->inner];
        bool take = j->params->least ? value < held : value > held;
        if (take || (value != value && held == held) || (j->params->last && value == held)) best = i;
    }
    return best;
}

static uint32_t find_s32(const job *j, const int32_t *x) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < j->length; i++) {
        const int32_t value = x[(size_t)i * j->inner], held = x[(size_t)best * j->inner];
        bool take = j->params->least ? value < held : value > held;
        if (take || (j->params->last && value == held)) best = i;
    }
    return best;
}

static void run_f32(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) {
        j->y[i] = (int32_t)find_f32(j, (const float *)j->x + (size_t)(i / j->inner) * j->length * j->inner + i % j->inner);
    }
}

static void run_s32(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) {
        j->y[i] = (int32_t)find_s32(j, (const int32_t *)j->x + (size_t)(i / j->inner) * j->length * j->inner + i % j->inner);
    }
}

static void arg_reduce_run(const tody_call *call) {
    const tody_arg_reduce_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const job job = {x.data, y.data, x.shape[p->axis], tody_extent(&x, p->axis + 1, x.rank), p};
    tody_for_ranges(call, y.count, TODY_GRAIN / job.length + 1, x.dtype == TODY_F32 ? run_f32 : run_s32, &job);
}

const tody_op tody_op_arg_reduce = {
    .name = "arg_reduce",
    .code = TODY_OP_ARG_REDUCE,
    .param_bytes = sizeof(tody_arg_reduce_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = arg_reduce_check,
    .run = arg_reduce_run,
};
