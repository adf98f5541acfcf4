// lut.c - any function of one int8, as a table of its 256 values.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

typedef struct job {
    const tody_kernels *kernels;
    const int8_t *x, *table;
    int8_t *y;
} job;

static tody_status lut_check(const tody_call *call) {
    const tody_tensor x = tody_in(call, 0), table = tody_in(call, 1), y = tody_out(call, 0);
    if (x.dtype != TODY_S8 || table.dtype != TODY_S8 || y.dtype != TODY_S8 || x.pack || table.pack || y.pack)
        return TODY_ERR_DTYPE;
    const uint32_t length = 256;
    return tody_same_shape(&x, &y) && tody_has_shape(&table, 1, &length) ? TODY_OK : TODY_ERR_SHAPE;
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    j->kernels->lut_s8(j->table, j->x + begin, j->y + begin, end - begin);
}

static void lut_run(const tody_call *call) {
    const tody_tensor x = tody_in(call, 0), table = tody_in(call, 1), y = tody_out(call, 0);
    const job job = {call->kernels, x.data, table.data, y.data};
    tody_for_ranges(call, y.count, TODY_GRAIN, run_range, &job);
}

const tody_op tody_op_lut = {
    .name = "lut",
    .code = TODY_OP_LUT,
    .param_bytes = 0,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .row_inputs = 1u << 0,
    .check = lut_check,
    .run = lut_run,
};
