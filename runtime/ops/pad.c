// pad.c - a border of a constant, or of what lies inside.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "convert.h"
#include "nest.h"
#include "shape.h"

// The dimensions behind the last padded one are one unit; of the others, which rank counts, neighbours without padding are one.
typedef struct job {
    const uint8_t *x;
    uint8_t *y;
    uint32_t rank, mode;
    uint32_t x_shape[TODY_MAX_RANK], y_shape[TODY_MAX_RANK], before[TODY_MAX_RANK];
    size_t unit_bytes, element_bytes;
    _Alignas(8) uint8_t value[8];  // the constant as an element
} job;

static tody_status pad_check(const tody_call *call) {
    const tody_pad_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (!tody_same_type(&x, &y)) return TODY_ERR_DTYPE;
    if (p->mode >= TODY_PAD_COUNT || p->value != p->value) return TODY_ERR_PARAM;
    if (x.rank != y.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < TODY_MAX_RANK; d++) {
        if (d >= x.rank && p->before[d] != 0) return TODY_ERR_PARAM;
        if (d < x.rank && (y.shape[d] < x.shape[d] || y.shape[d] - x.shape[d] < p->before[d])) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

// Which element of a dimension of `length` stands at position `at`, counted from the first one; length where none does.
static uint32_t source(uint32_t mode, int64_t at, uint32_t length) {
    if (at >= 0 && at < (int64_t)length) return (uint32_t)at;
    if (mode == TODY_PAD_CONSTANT) return length;
    if (mode == TODY_PAD_EDGE || length == 1) return at < 0 ? 0 : length - 1;
    const int64_t period = mode == TODY_PAD_WRAP ? (int64_t)length : 2 * (int64_t)length - 2;
    const int64_t phase = (at % period + period) % period;
    return (uint32_t)(phase < (int64_t)length ? phase : period - phase);
}

static void fill(const job *j, uint8_t *y, size_t units) {
    const size_t bytes = units * j->unit_bytes;
    if (bytes == 0) return;
    memcpy(y, j->value, j->element_bytes);
    for (size_t done = j->element_bytes; done < bytes; done *= 2)
        memcpy(y + done, y, done < bytes - done ? done : bytes - done);
}

// A row of y along the last padded dimension, from a row of x.
static void pad_row(const job *j, const uint8_t *x, uint8_t *y) {
    const uint32_t d = j->rank - 1, length = j->x_shape[d], before = j->before[d];
    if (j->mode == TODY_PAD_CONSTANT) {
        fill(j, y, before);
        memcpy(y + before * j->unit_bytes, x, length * j->unit_bytes);
        fill(j, y + (before + length) * j->unit_bytes, j->y_shape[d] - before - length);
        return;
    }
    for (uint32_t i = 0; i < j->y_shape[d]; i++) {
        if (i == before) {
            memmove(y + i * j->unit_bytes, x, length * j->unit_bytes);
            i += length - 1;
            continue;
        }
        const uint32_t from = source(j->mode, (int64_t)i - before, length);
        memmove(y + i * j->unit_bytes, x + from * j->unit_bytes, j->unit_bytes);
    }
}

static void run_rows(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t inner = j->rank - 1;
    for (uint32_t row = begin; row < end; row++) {
        uint32_t rest = row;
        size_t x_row = 0, stride = 1;
        bool inside = true;
        for (uint32_t d = inner; d-- > 0;) {
            const uint32_t from = source(j->mode, (int64_t)(rest % j->y_shape[d]) - j->before[d], j->x_shape[d]);
            rest /= j->y_shape[d];
            inside = inside && from < j->x_shape[d];
            x_row += from * stride;
            stride *= j->x_shape[d];
        }
        uint8_t *y = j->y + row * j->y_shape[inner] * j->unit_bytes;
        if (inside) {
            pad_row(j, j->x + x_row * j->x_shape[inner] * j->unit_bytes, y);
        } else {
            fill(j, y, j->y_shape[inner]);
        }
    }
}

static void pad_run(const tody_call *call) {
    const tody_pad_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const size_t bytes = tody_dtype_bytes(y.dtype);
    job job = {x.data, y.data, 0, p->mode, {0}, {0}, {0}, bytes, bytes, {0}};
    uint32_t rank = y.rank;
    while (rank > 1 && x.shape[rank - 1] == y.shape[rank - 1]) job.unit_bytes *= x.shape[--rank];
    for (uint32_t d = 0; d < rank; d++) {
        const bool joins = d > 0 && x.shape[d - 1] == y.shape[d - 1] && x.shape[d] == y.shape[d];
        const uint32_t to = joins ? job.rank - 1 : job.rank++;
        job.x_shape[to] = joins ? job.x_shape[to] * x.shape[d] : x.shape[d];
        job.y_shape[to] = joins ? job.y_shape[to] * y.shape[d] : y.shape[d];
        job.before[to] = p->before[d];
    }
    if (job.rank == 0) {  // a scalar is a row of one
        job.rank = 1;
        job.x_shape[0] = job.y_shape[0] = 1;
    }
    float value = p->value;
    const tody_tensor element = {
        .data = job.value, .dtype = y.dtype, .scales = y.scales, .scale_count = y.scale_count, .zero_point = y.zero_point};
    tody_store_f32(&element, 0, 1, &value);
    const size_t row_bytes = job.y_shape[job.rank - 1] * job.unit_bytes;
    const uint32_t rows = (uint32_t)(y.count * bytes / row_bytes);
    tody_for_ranges(call, rows, (uint32_t)(TODY_GRAIN * 4 / row_bytes) + 1, run_rows, &job);
}

const tody_op tody_op_pad = {
    .name = "pad",
    .code = TODY_OP_PAD,
    .param_bytes = sizeof(tody_pad_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = pad_check,
    .run = pad_run,
};
