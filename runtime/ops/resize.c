// resize.c - every output row is a weighted sum of input rows, every output column of input columns.
// SPDX-License-Identifier: Apache-2.0
//
// Which ones and how much stands in tables that the converter made: nearest has one tap of weight 1, linear two, and so on.
#include <string.h>

#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { X = 0, ROW_INDEX = 1, ROW_WEIGHT = 2, COLUMN_INDEX = 3, COLUMN_WEIGHT = 4 };
enum { FEW_CHANNELS = 8 };  // below this a call for each pixel costs more than the sum

// One direction: output i is the sum over t < taps of weight[i * taps + t] times input index[i * taps + t].
typedef struct table {
    const int32_t *index;
    const float *weight;
    const int32_t *fixed;  // instead, of int8: 11 bits of fraction
    uint32_t taps;
    bool nearest;  // one tap, all weights 1
} table;

typedef struct job {
    const tody_kernels *kernels;
    const uint8_t *x;
    uint8_t *y, *scratch;
    size_t row_bytes, thread_bytes;  // scratch: a blended row and then pointers, for each thread
    uint32_t height, width, channels, out_height, out_width;
    size_t pixel_bytes, pitch;  // pitch: of y, in elements
    int32_t zero;               // int8
    table rows, columns;
} job;

static table get_table(const tody_call *call, uint32_t index, uint32_t weight) {
    const tody_tensor indices = tody_in(call, index), weights = tody_in(call, weight);
    table t = {.index = indices.data, .taps = indices.shape[1], .nearest = indices.shape[1] == 1};
    if (weights.dtype == TODY_S32) {
        t.fixed = weights.data;
        return t;
    }
    t.weight = weights.data;
    for (uint32_t i = 0; i < weights.count; i++) t.nearest = t.nearest && t.weight[i] == 1.0f;
    return t;
}

static tody_status check_table(const tody_call *call, uint32_t index, uint32_t weight, uint32_t from, uint32_t to) {
    const tody_tensor indices = tody_in(call, index), weights = tody_in(call, weight);
    const bool fixed = weights.dtype == TODY_S32 && weights.pack == TODY_PLAIN && tody_in(call, X).dtype == TODY_S8;
    if (indices.dtype != TODY_S32 || indices.pack || !(fixed || tody_plain_f32(&weights))) return TODY_ERR_DTYPE;
    if (indices.rank != 2 || indices.shape[0] != to || !tody_same_shape(&indices, &weights)) return TODY_ERR_SHAPE;
    if (!tody_is_constant(call, index) || !tody_is_constant(call, weight)) return TODY_ERR_PARAM;
    const int32_t *values = indices.data;
    for (uint32_t i = 0; i < indices.count; i++) {
        if (values[i] < 0 || (uint32_t)values[i] >= from) return TODY_ERR_PARAM;
    }
    return TODY_OK;
}

static tody_status resize_check(const tody_call *call) {
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (!tody_same_type(&x, &y)) return TODY_ERR_DTYPE;
    if (x.rank != 4 || y.rank != 4 || x.shape[0] != y.shape[0] || x.shape[3] != y.shape[3]) return TODY_ERR_SHAPE;
    tody_status status = check_table(call, ROW_INDEX, ROW_WEIGHT, x.shape[1], y.shape[1]);
    if (!status) status = check_table(call, COLUMN_INDEX, COLUMN_WEIGHT, x.shape[2], y.shape[2]);
    if (status || x.dtype == TODY_F32) return status;
    const table rows = get_table(call, ROW_INDEX, ROW_WEIGHT), columns = get_table(call, COLUMN_INDEX, COLUMN_WEIGHT);
    return (rows.nearest && columns.nearest) || (rows.fixed && columns.fixed) ? TODY_OK : TODY_ERR_DTYPE;
}

static size_t row_bytes(const tody_tensor *x) {
    return tody_scratch_bytes((uint64_t)x->shape[2] * x->shape[3] * sizeof(float));
}

static uint64_t thread_bytes(const tody_call *call) {
    const tody_tensor x = tody_in(call, X);
    const uint32_t taps = tody_max_u32(tody_in(call, ROW_INDEX).shape[1], tody_in(call, COLUMN_INDEX).shape[1]);
    return (uint64_t)row_bytes(&x) + tody_scratch_bytes((uint64_t)taps * call->pointer_bytes);
}

static size_t resize_scratch(const tody_call *call) {
    const bool blends = tody_in(call, X).dtype == TODY_F32 || tody_in(call, ROW_WEIGHT).dtype == TODY_S32;
    return blends ? tody_scratch_bytes(thread_bytes(call) * tody_threads(call)) : 0;
}

// Pixels are moved as they are. A row that repeats the one before is copied from it.
static void run_nearest(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const size_t to = j->pitch * j->pixel_bytes / j->channels, out_bytes = j->out_width * to;
    for (uint32_t row = begin; row < end; row++) {
        const uint32_t i = row % j->out_height, picture = row / j->out_height;
        uint8_t *y = j->y + row * out_bytes;
        if (to == j->pixel_bytes && row > begin && i > 0 && j->rows.index[i] == j->rows.index[i - 1]) {
            memmove(y, y - out_bytes, out_bytes);
            continue;
        }
        const uint8_t *x = j->x + ((size_t)picture * j->height + (size_t)j->rows.index[i]) * j->width * j->pixel_bytes;
        for (uint32_t c = 0; c < j->out_width; c++) {
            memmove(y + c * to, x + (size_t)j->columns.index[c] * j->pixel_bytes, j->pixel_bytes);
        }
    }
}

// The row of x that output row i needs: one of x itself, or a blend of several.
static const float *blend_rows(const job *j, uint32_t picture, uint32_t i, float *row, const float **pointers) {
    const uint32_t taps = j->rows.taps;
    const size_t length = (size_t)j->width * j->channels;
    const float *x = (const float *)(const void *)j->x + picture * j->height * length;
    if (j->rows.nearest) return x + (size_t)j->rows.index[i] * length;
    for (uint32_t t = 0; t < taps; t++) pointers[t] = x + (size_t)j->rows.index[i * taps + t] * length;
    j->kernels->blend_f32(pointers, j->rows.weight + i * taps, taps, row, length);
    return row;
}

static void blend_few(const job *j, const float *row, uint32_t column, float *y) {
    const uint32_t taps = j->columns.taps, channels = j->channels;
    const int32_t *index = j->columns.index + column * taps;
    const float *weight = j->columns.weight + column * taps;
    for (uint32_t c = 0; c < channels; c++) {
        float sum = row[(size_t)index[0] * channels + c] * weight[0];
        for (uint32_t t = 1; t < taps; t++) sum += row[(size_t)index[t] * channels + c] * weight[t];
        y[c] = sum;
    }
}

static void blend_columns(const job *j, const float *row, const float **pointers, float *y) {
    const uint32_t taps = j->columns.taps, channels = j->channels;
    for (uint32_t column = 0; column < j->out_width; column++, y += j->pitch) {
        if (j->columns.nearest) {
            memmove(y, row + (size_t)j->columns.index[column] * channels, channels * sizeof *y);
        } else if (channels < FEW_CHANNELS) {
            blend_few(j, row, column, y);
        } else {
            for (uint32_t t = 0; t < taps; t++) pointers[t] = row + (size_t)j->columns.index[column * taps + t] * channels;
            j->kernels->blend_f32(pointers, j->columns.weight + column * taps, taps, y, channels);
        }
    }
}

static void run_blend(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    uint8_t *scratch = j->scratch + thread * j->thread_bytes;
    const float **pointers = (const float **)(void *)(scratch + j->row_bytes);
    for (uint32_t i = begin; i < end; i++) {
        const float *row = blend_rows(j, i / j->out_height, i % j->out_height, (float *)(void *)scratch, pointers);
        blend_columns(j, row, pointers, (float *)(void *)j->y + (size_t)i * j->out_width * j->pitch);
    }
}

// Sum of weight[t] times what lies at index[t] of rows of `length`, modulo 2^32.
static void sum_rows_s8(const job *j, const int8_t *x, uint32_t i, uint32_t *row, uint32_t length) {
    memset(row, 0, length * sizeof *row);
    for (uint32_t t = i * j->rows.taps; t < (i + 1) * j->rows.taps; t++) {
        const int8_t *from = x + (size_t)j->rows.index[t] * length;
        for (uint32_t c = 0; c < length; c++) row[c] += (uint32_t)(from[c] - j->zero) * (uint32_t)j->rows.fixed[t];
    }
}

static void sum_columns_s8(const job *j, const uint32_t *row, uint32_t i, int8_t *y) {
    for (uint32_t c = 0; c < j->channels; c++) {
        uint32_t sum = 1u << 21;
        for (uint32_t t = i * j->columns.taps; t < (i + 1) * j->columns.taps; t++) {
            sum += row[(size_t)j->columns.index[t] * j->channels + c] * (uint32_t)j->columns.fixed[t];
        }
        const int32_t value = ((int32_t)sum >> 22) + j->zero;
        y[c] = (int8_t)(value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value);
    }
}

static void run_blend_s8(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    uint32_t *row = (uint32_t *)(void *)(j->scratch + thread * j->thread_bytes);
    const uint32_t length = j->width * j->channels;
    for (uint32_t i = begin; i < end; i++) {
        const int8_t *x = (const int8_t *)j->x + (size_t)(i / j->out_height) * j->height * length;
        int8_t *y = (int8_t *)j->y + (size_t)i * j->out_width * j->channels;
        sum_rows_s8(j, x, i % j->out_height, row, length);
        for (uint32_t column = 0; column < j->out_width; column++) sum_columns_s8(j, row, column, y + column * j->channels);
    }
}

static void resize_run(const tody_call *call) {
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const job job = {.kernels = call->kernels,
                     .x = x.data,
                     .y = y.data,
                     .scratch = call->scratch,
                     .row_bytes = row_bytes(&x),
                     .thread_bytes = (size_t)thread_bytes(call),
                     .height = x.shape[1],
                     .width = x.shape[2],
                     .channels = x.shape[3],
                     .out_height = y.shape[1],
                     .out_width = y.shape[2],
                     .pixel_bytes = x.shape[3] * tody_dtype_bytes(x.dtype),
                     .pitch = y.pitch,
                     .zero = x.zero_point,
                     .rows = get_table(call, ROW_INDEX, ROW_WEIGHT),
                     .columns = get_table(call, COLUMN_INDEX, COLUMN_WEIGHT)};
    const uint32_t grain = TODY_GRAIN / y.shape[2] / y.shape[3] + 1;
    const bool nearest = job.rows.nearest && job.columns.nearest;
    const tody_range blend = job.rows.fixed ? run_blend_s8 : run_blend;
    tody_for_ranges(call, y.shape[0] * y.shape[1], grain, nearest ? run_nearest : blend, &job);
}

const tody_op tody_op_resize = {
    .name = "resize",
    .code = TODY_OP_RESIZE,
    .param_bytes = 0,
    .min_inputs = 5,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 5,
    .pitched_output = true,
    .check = resize_check,
    .scratch = resize_scratch,
    .run = resize_run,
};
