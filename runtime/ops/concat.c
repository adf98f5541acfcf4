// concat.c - tensors one after the other along an axis.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "shape.h"

// One input on its way into y: blocks that are contiguous in x.
typedef struct job {
    const uint8_t *x;
    uint8_t *y;
    size_t block_bytes, x_stride_bytes, y_stride_bytes;
} job;

static tody_status concat_check(const tody_call *call) {
    const uint32_t axis = ((const tody_concat_params *)call->params)->axis;
    const tody_tensor y = tody_out(call, 0);
    if (axis >= y.rank) return TODY_ERR_PARAM;
    bool slices = tody_is_slice(&y);
    uint64_t length = 0;
    for (uint32_t i = 0; i < call->in_count; i++) {
        if (!tody_has_in(call, i)) return TODY_ERR_OP_RECORD;
        const tody_tensor x = tody_in(call, i);
        if (!tody_same_type(&x, &y)) return TODY_ERR_DTYPE;
        if (x.rank != y.rank) return TODY_ERR_SHAPE;
        for (uint32_t d = 0; d < y.rank; d++) {
            if (d != axis && x.shape[d] != y.shape[d]) return TODY_ERR_SHAPE;
        }
        length += x.shape[axis];
        slices = slices || tody_is_slice(&x);
    }
    if (slices && axis + 1 < y.rank) return TODY_ERR_PARAM;
    return length == y.shape[axis] ? TODY_OK : TODY_ERR_SHAPE;
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) memmove(j->y + i * j->y_stride_bytes, j->x + i * j->x_stride_bytes, j->block_bytes);
}

static void concat_run(const tody_call *call) {
    const uint32_t axis = ((const tody_concat_params *)call->params)->axis;
    const tody_tensor y = tody_out(call, 0);
    const size_t inner_bytes = tody_extent(&y, axis + 1, y.rank) * tody_dtype_bytes(y.dtype);
    const bool last = axis + 1 == y.rank;
    job job = {.y = y.data, .y_stride_bytes = (last ? y.pitch : y.shape[axis]) * inner_bytes};
    for (uint32_t i = 0; i < call->in_count; i++) {
        const tody_tensor x = tody_in(call, i);
        job.x = x.data;
        job.block_bytes = x.shape[axis] * inner_bytes;
        job.x_stride_bytes = last ? x.pitch * inner_bytes : job.block_bytes;
        const uint32_t grain = (uint32_t)(TODY_GRAIN * 4 / job.block_bytes) + 1;
        tody_for_ranges(call, tody_extent(&y, 0, axis), grain, run_range, &job);
        job.y += job.block_bytes;
    }
}

const tody_op tody_op_concat = {
    .name = "concat",
    .code = TODY_OP_CONCAT,
    .param_bytes = sizeof(tody_concat_params),
    .min_inputs = 1,
    .max_inputs = UINT16_MAX,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .pitched_inputs = UINT16_MAX,
    .pitched_output = true,
    .check = concat_check,
    .run = concat_run,
};
