// dense.c - fully connected: the rows of x times constant weights.
// SPDX-License-Identifier: Apache-2.0
#include "gemm.h"
#include "shape.h"

enum { X = 0, W = 1, BIAS = 2, ADDEND = 3 };

static tody_status check_weights(const tody_call *call, const tody_tensor *x, const tody_tensor *y) {
    const tody_tensor w = tody_in(call, W);
    if (!tody_panels_f32(&w)) return TODY_ERR_DTYPE;
    const uint32_t shape[4] = {1, y->shape[y->rank - 1], 1, x->shape[x->rank - 1]};
    if (!tody_has_shape(&w, 4, shape)) return TODY_ERR_SHAPE;
    if (!tody_has_in(call, BIAS)) return TODY_OK;
    const tody_tensor bias = tody_in(call, BIAS);
    if (!tody_panels_f32(&bias)) return TODY_ERR_DTYPE;
    return tody_has_shape(&bias, 2, shape) ? TODY_OK : TODY_ERR_SHAPE;
}

static tody_status dense_check(const tody_call *call) {
    const tody_dense_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (!tody_plain_f32(&x) || !tody_plain_f32(&y)) return TODY_ERR_DTYPE;
    if (x.rank == 0 || x.rank != y.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d + 1 < x.rank; d++) {
        if (x.shape[d] != y.shape[d]) return TODY_ERR_SHAPE;
    }
    tody_status status = check_weights(call, &x, &y);
    if (!status) status = tody_check_addend(call, ADDEND, &y);
    if (status) return status;
    return tody_activation_ok(&p->activation) ? TODY_OK : TODY_ERR_PARAM;
}

static size_t dense_scratch(const tody_call *call) { return tody_gemm_scratch(call, 1, tody_in(call, W).shape[3]); }

static void dense_run(const tody_call *call) {
    const tody_dense_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    const uint32_t cols = w.shape[1], depth = w.shape[3];
    const tody_matrix rows = {x.data, depth};
    const tody_gemm gemm = {
        .rows = tody_extent(&y, 0, y.rank - 1),
        .cols = cols,
        .taps = 1,
        .depth = depth,
        .gather = tody_gather_matrix,
        .source = &rows,
        .w = w.data,
        .w_stride = tody_panels_floats(1, 1, depth),
        .bias = tody_in_f32(call, BIAS),
        .addend = tody_in_f32(call, ADDEND),
        .addend_stride = cols,
        .c = y.data,
        .c_stride = cols,
        .activation = p->activation,
        .pointers = (const float **)(void *)call->scratch,
    };
    tody_gemm_run(call, &gemm);
}

const tody_op tody_op_dense = {
    .name = "dense",
    .code = TODY_OP_DENSE,
    .param_bytes = sizeof(tody_dense_params),
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = dense_check,
    .scratch = dense_scratch,
    .run = dense_run,
};
