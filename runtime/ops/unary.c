// unary.c - functions of one element.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

typedef struct job {
    const tody_activation *function;
    const tody_kernels *kernels;
    const void *x;
    void *y;
} job;

static tody_status unary_check(const tody_call *call) {
    const tody_activation *f = &((const tody_unary_params *)call->params)->function;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (f->fn >= TODY_FN_COUNT || f->a != f->a || f->b != f->b) return TODY_ERR_PARAM;
    tody_dtype from = f->fn == TODY_FN_NOT ? TODY_BOOL : TODY_F32;
    bool to_bool = f->fn == TODY_FN_NOT || f->fn == TODY_FN_IS_NAN || f->fn == TODY_FN_IS_INF;
    if (x.dtype != from || y.dtype != (to_bool ? TODY_BOOL : TODY_F32) || x.pack || y.pack) return TODY_ERR_DTYPE;
    return tody_same_shape(&x, &y) ? TODY_OK : TODY_ERR_SHAPE;
}

static void run_f32(const void *context, size_t from, size_t to, uint32_t count) {
    const job *job = context;
    const tody_activation *f = job->function;
    job->kernels->unary_f32(f->fn, f->a, f->b, (const float *)job->x + from, (float *)job->y + to, count);
}

static void run_not(const void *context, size_t from, size_t to, uint32_t count) {
    const job *job = context;
    const uint8_t *x = (const uint8_t *)job->x + from;
    uint8_t *y = (uint8_t *)job->y + to;
    for (uint32_t i = 0; i < count; i++) y[i] = !x[i];
}

static void run_is_nan(const void *context, size_t from, size_t to, uint32_t count) {
    const job *job = context;
    const float *x = (const float *)job->x + from;
    uint8_t *y = (uint8_t *)job->y + to;
    for (uint32_t i = 0; i < count; i++) y[i] = x[i] != x[i];
}

static void run_is_inf(const void *context, size_t from, size_t to, uint32_t count) {
    const job *job = context;
    const float *x = (const float *)job->x + from, infinity = __builtin_inff();
    const bool low = job->function->a != 0.0f, high = job->function->b != 0.0f;
    uint8_t *y = (uint8_t *)job->y + to;
    for (uint32_t i = 0; i < count; i++) y[i] = (high && x[i] == infinity) || (low && x[i] == -infinity);
}

static void unary_run(const tody_call *call) {
    const tody_activation *f = &((const tody_unary_params *)call->params)->function;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const job job = {f, call->kernels, x.data, y.data};
    tody_stretch stretch = f->fn == TODY_FN_NOT      ? run_not
                           : f->fn == TODY_FN_IS_NAN ? run_is_nan
                           : f->fn == TODY_FN_IS_INF ? run_is_inf
                                                     : run_f32;
    tody_for_stretches(call, &x, &y, stretch, &job);
}

const tody_op tody_op_unary = {
    .name = "unary",
    .code = TODY_OP_UNARY,
    .param_bytes = sizeof(tody_unary_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .row_inputs = 1u << 0,
    .pitched_inputs = 1u << 0,
    .pitched_output = true,
    .check = unary_check,
    .run = unary_run,
};
