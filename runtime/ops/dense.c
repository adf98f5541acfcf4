// dense.c - fully connected: the rows of x times constant weights.
// SPDX-License-Identifier: Apache-2.0
#include "f16.h"
#include "gemm.h"
#include "layer.h"
#include "sparse.h"
#include "strassen.h"

enum { X = 0, W = 1 };

static tody_status dense_check(const tody_call *call) {
    const tody_dense_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    if (!tody_is_real(&x) || !tody_is_real(&y) || x.dtype != y.dtype) return TODY_ERR_DTYPE;
    if (!tody_is_matrix(&w, x.dtype)) return TODY_ERR_DTYPE;
    if (x.rank == 0 || x.rank != y.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d + 1 < x.rank; d++) {
        if (x.shape[d] != y.shape[d]) return TODY_ERR_SHAPE;
    }
    const uint32_t shape[4] = {1, y.shape[y.rank - 1], 1, x.shape[x.rank - 1]};
    return tody_has_shape(&w, 4, shape) ? tody_check_layer(call, 1, &p->activation) : TODY_ERR_SHAPE;
}

// Also of a model that is not prepared, though it might be.
static size_t work_bytes(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    if (w.pack == TODY_BLOCKS) return tody_sparse_scratch(call, w.shape[1], 1);
    const size_t direct = tody_gemm_scratch(call, w.dtype, 1, w.shape[3]);
    const size_t quarters = tody_strassen_wanted(call) ? tody_strassen_scratch(call) : 0;
    return quarters > direct ? quarters : direct;
}

// The work of all threads, then what is widened.
static size_t dense_scratch(const tody_call *call) {
    return tody_scratch_bytes((uint64_t)work_bytes(call) + tody_channels_room(call, 1));
}

static size_t dense_prepared(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    if (tody_strassen_wanted(call)) return tody_strassen_prepared(call);
    return tody_f16_wanted(call, &w) ? tody_f16_prepared(&w) : 0;
}

static void dense_prepare(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    if (tody_strassen_wanted(call))
        tody_strassen_prepare(call);
    else if (tody_f16_wanted(call, &w))
        tody_f16_prepare(call, &w);
}

static void dense_run(const tody_call *call) {
    const tody_dense_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    const uint32_t cols = w.shape[1], depth = w.shape[3];
    uint8_t *room = call->scratch + work_bytes(call);
    const tody_channels channels = tody_channels_of(call, 1, &room);
    const tody_matrix rows = {x.data, depth * tody_dtype_bytes(x.dtype)};
    tody_gemm gemm = {
        .dtype = x.dtype,
        .rows = tody_extent(&y, 0, y.rank - 1),
        .cols = cols,
        .taps = 1,
        .depth = depth,
        .gather = tody_gather_matrix,
        .source = &rows,
        .w = w.data,
        .w_stride_bytes = tody_panel_bytes(w.dtype, 1, depth),
        .bias = channels.bias,
        .addend = tody_in_data(call, TODY_LAYER_ADDEND),
        .addend_stride = cols,
        .c = y.data,
        .c_stride = cols,
        .activation = p->activation,
        .scale = channels.scale,
        .scale_stride = TODY_PANEL,
        .layer = tody_layer_of(call, 1, &p->activation),
        .pointers = (const void **)(void *)call->scratch,
    };
    if (call->prepared && tody_f16_wanted(call, &w)) tody_f16_use(call, &gemm);
    if (w.pack == TODY_BLOCKS)
        tody_sparse_run(call, &gemm);
    else if (call->prepared && tody_strassen_wanted(call))
        tody_strassen_run(call, &gemm);
    else
        tody_gemm_run(call, &gemm);
}

const tody_op tody_op_dense = {
    .name = "dense",
    .code = TODY_OP_DENSE,
    .param_bytes = sizeof(tody_dense_params),
    .min_inputs = 2,
    .max_inputs = 6,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = dense_check,
    .scratch = dense_scratch,
    .prepared = TODY_FLOAT ? dense_prepared : NULL,
    .prepare = TODY_FLOAT ? dense_prepare : NULL,
    .run = dense_run,
};
