// layer_norm.c - rows with mean 0 and variance 1.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { X = 0, SCALE = 1, BIAS = 2 };

typedef struct job {
    const tody_kernels *kernels;
    const float *x, *scale, *bias;
    float *y;
    uint32_t length;  // of a row
    float epsilon;
    bool rms;
} job;

// An optional parameter that has the shape of the normalised dimensions.
static tody_status check_parameter(const tody_call *call, uint32_t i, const tody_tensor *x, uint32_t axis) {
    if (!tody_has_in(call, i)) return TODY_OK;
    const tody_tensor t = tody_in(call, i);
    if (!tody_plain_f32(&t)) return TODY_ERR_DTYPE;
    return tody_has_shape(&t, x->rank - axis, x->shape + axis) ? TODY_OK : TODY_ERR_SHAPE;
}

static tody_status layer_norm_check(const tody_call *call) {
    const tody_layer_norm_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (!tody_plain_f32(&x) || !tody_plain_f32(&y)) return TODY_ERR_DTYPE;
    if (!tody_same_shape(&x, &y)) return TODY_ERR_SHAPE;
    if (p->axis >= x.rank || p->rms > 1 || !(p->epsilon >= 0.0f && p->epsilon < __builtin_inff())) return TODY_ERR_PARAM;
    tody_status status = check_parameter(call, SCALE, &x, p->axis);
    return status ? status : check_parameter(call, BIAS, &x, p->axis);
}

static void normalise(const job *j, const float *x, float *y) {
    const tody_kernels *k = j->kernels;
    const float n = (float)j->length;
    float sums[2], mean = 0.0f;
    if (!j->rms) {
        k->moments_f32(x, j->length, 0.0f, sums);
        mean = sums[0] / n;
    }
    k->moments_f32(x, j->length, mean, sums);
    const float rest = j->rms ? 0.0f : sums[0] / n;  // what rounding the mean left over
    const float inverse = 1.0f / __builtin_sqrtf(sums[1] / n - rest * rest + j->epsilon);
    k->norm_f32(&(tody_norm_f32){.rows = 1,
                                 .channels = j->length,
                                 .x = x,
                                 .y = y,
                                 .mean = &mean,
                                 .factor = &inverse,
                                 .scale = j->scale,
                                 .bias = j->bias,
                                 .lo = -__builtin_inff(),
                                 .hi = __builtin_inff()});
}

static void run_rows(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) normalise(j, j->x + (size_t)i * j->length, j->y + (size_t)i * j->length);
}

static void layer_norm_run(const tody_call *call) {
    const tody_layer_norm_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const uint32_t length = tody_extent(&x, p->axis, x.rank);
    const job job = {.kernels = call->kernels,
                     .x = x.data,
                     .scale = tody_in_f32(call, SCALE),
                     .bias = tody_in_f32(call, BIAS),
                     .y = y.data,
                     .length = length,
                     .epsilon = p->epsilon,
                     .rms = p->rms};
    tody_for_ranges(call, tody_extent(&x, 0, p->axis), TODY_GRAIN / 4 / length + 1, run_rows, &job);
}

const tody_op tody_op_layer_norm = {
    .name = "layer_norm",
    .code = TODY_OP_LAYER_NORM,
    .param_bytes = sizeof(tody_layer_norm_params),
    .min_inputs = 1,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = layer_norm_check,
    .run = layer_norm_run,
};
