// gather.c - slices of x chosen by index.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "shape.h"

typedef struct job {
    const uint8_t *x;
    const int32_t *indices;
    uint8_t *y;
    uint32_t index_count, length;  // length: of the axis
    size_t slice_bytes;
} job;

static tody_status check_indices(const tody_tensor *indices, uint32_t length) {
    const int32_t *values = indices->data;
    for (uint32_t i = 0; i < indices->count; i++) {
        if (values[i] < 0 || (uint32_t)values[i] >= length) return TODY_ERR_PARAM;
    }
    return TODY_OK;
}

static tody_status gather_check(const tody_call *call) {
    const uint32_t axis = ((const tody_gather_params *)call->params)->axis;
    const tody_tensor x = tody_in(call, 0), indices = tody_in(call, 1), y = tody_out(call, 0);
    if (!tody_same_type(&x, &y) || indices.dtype != TODY_S32 || indices.pack) return TODY_ERR_DTYPE;
    if (axis >= x.rank) return TODY_ERR_PARAM;
    if (y.rank != x.rank - 1 + indices.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < y.rank; d++) {
        uint32_t expected = d < axis                  ? x.shape[d]
                            : d < axis + indices.rank ? indices.shape[d - axis]
                                                      : x.shape[d + 1 - indices.rank];
        if (y.shape[d] != expected) return TODY_ERR_SHAPE;
    }
    return tody_is_constant(call, 1) ? check_indices(&indices, x.shape[axis]) : TODY_OK;
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) {
        int32_t index = j->indices[i % j->index_count];
        uint32_t held = index < 0 ? 0 : tody_min_u32((uint32_t)index, j->length - 1);
        size_t slice = (size_t)(i / j->index_count) * j->length + held;
        memmove(j->y + i * j->slice_bytes, j->x + slice * j->slice_bytes, j->slice_bytes);
    }
}

static void gather_run(const tody_call *call) {
    const uint32_t axis = ((const tody_gather_params *)call->params)->axis;
    const tody_tensor x = tody_in(call, 0), indices = tody_in(call, 1), y = tody_out(call, 0);
    const size_t slice_bytes = tody_extent(&x, axis + 1, x.rank) * tody_dtype_bytes(x.dtype);
    const job job = {x.data, indices.data, y.data, indices.count, x.shape[axis], slice_bytes};
    const uint32_t grain = (uint32_t)(TODY_GRAIN * 4 / slice_bytes) + 1;
    tody_for_ranges(call, tody_extent(&x, 0, axis) * indices.count, grain, run_range, &job);
}

const tody_op tody_op_gather = {
    .name = "gather",
    .code = TODY_OP_GATHER,
    .param_bytes = sizeof(tody_gather_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = gather_check,
    .run = gather_run,
};
