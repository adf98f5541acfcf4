// where.c - choose between two tensors, element by element.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "shape.h"

typedef struct job {
    tody_nest nest;
    const uint8_t *condition, *a, *b;
    uint8_t *y;
    size_t element_bytes;
} job;

static tody_status where_check(const tody_call *call) {
    const tody_tensor condition = tody_in(call, 0), a = tody_in(call, 1), b = tody_in(call, 2), y = tody_out(call, 0);
    if (condition.dtype != TODY_BOOL || condition.pack) return TODY_ERR_DTYPE;
    if (!tody_same_type(&a, &y) || !tody_same_type(&b, &y)) return TODY_ERR_DTYPE;
    tody_nest nest = tody_nest_like(&y);
    bool fits = tody_nest_broadcast(&nest, 0, &condition) && tody_nest_broadcast(&nest, 1, &a);
    return fits && tody_nest_broadcast(&nest, 2, &b) ? TODY_OK : TODY_ERR_SHAPE;
}

static void row_b32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    const ptrdiff_t step = j->nest.stride[0][inner], a_step = j->nest.stride[1][inner], b_step = j->nest.stride[2][inner];
    const uint8_t *condition = j->condition + offset[0];
    const uint32_t *a = (const uint32_t *)(const void *)j->a + offset[1], *b = (const uint32_t *)(const void *)j->b + offset[2];
    uint32_t *y = (uint32_t *)(void *)j->y + at;
    for (uint32_t i = 0; i < count; i++, condition += step, a += a_step, b += b_step) y[i] = *condition ? *a : *b;
}

static void row_b8(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    const ptrdiff_t step = j->nest.stride[0][inner], a_step = j->nest.stride[1][inner], b_step = j->nest.stride[2][inner];
    const uint8_t *condition = j->condition + offset[0], *a = j->a + offset[1], *b = j->b + offset[2];
    uint8_t *y = j->y + at;
    for (uint32_t i = 0; i < count; i++, condition += step, a += a_step, b += b_step) y[i] = *condition ? *a : *b;
}

static void row_other(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    const ptrdiff_t step = j->nest.stride[0][inner], a_step = j->nest.stride[1][inner], b_step = j->nest.stride[2][inner];
    const ptrdiff_t bytes = (ptrdiff_t)j->element_bytes;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)count; i++) {
        const uint8_t *a = j->a + (offset[1] + i * a_step) * bytes, *b = j->b + (offset[2] + i * b_step) * bytes;
        memmove(j->y + ((ptrdiff_t)at + i) * bytes, j->condition[offset[0] + i * step] ? a : b, j->element_bytes);
    }
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    tody_nest_walk(&j->nest, begin, end, j->element_bytes == 4 ? row_b32 : j->element_bytes == 1 ? row_b8 : row_other, j);
}

static void where_run(const tody_call *call) {
    const tody_tensor condition = tody_in(call, 0), a = tody_in(call, 1), b = tody_in(call, 2), y = tody_out(call, 0);
    job job = {tody_nest_like(&y), condition.data, a.data, b.data, y.data, tody_dtype_bytes(y.dtype)};
    tody_nest_broadcast(&job.nest, 0, &condition);
    tody_nest_broadcast(&job.nest, 1, &a);
    tody_nest_broadcast(&job.nest, 2, &b);
    tody_nest_simplify(&job.nest);
    tody_for_ranges(call, y.count, TODY_GRAIN, run_range, &job);
}

const tody_op tody_op_where = {
    .name = "where",
    .code = TODY_OP_WHERE,
    .param_bytes = 0,
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 3,
    .check = where_check,
    .run = where_run,
};
