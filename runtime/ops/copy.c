// copy.c - transpose, slice, expand, flip: y is x read with other strides.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { TILE_ROWS = 1024, TILE_COLUMNS = 64, SHORT_BYTES = 64 };

typedef struct job {
    const tody_kernels *kernels;
    tody_nest nest;
    const uint8_t *x;
    uint8_t *y;
    size_t element_bytes;
    uint32_t column;  // transposing: the dimension along which x is contiguous
    uint32_t length;  // of rows that are too short to go by one by one
    ptrdiff_t step;   // along these
} job;

// Whether the smallest and the largest address are inside of x. Strides fit 32 bits and dimensions 31: no overflow in 64.
static bool stays_inside(const tody_copy_params *p, const tody_tensor *x, const tody_tensor *y) {
    int64_t least = p->offset, most = p->offset;
    for (uint32_t d = 0; d < y->rank; d++) {
        int64_t reach = ((int64_t)y->shape[d] - 1) * p->stride[d];
        if (reach < -(int64_t)INT32_MAX || reach > INT32_MAX) return false;
        least += reach < 0 ? reach : 0;
        most += reach > 0 ? reach : 0;
    }
    return least >= 0 && most < (int64_t)x->count;
}

static tody_status copy_check(const tody_call *call) {
    const tody_copy_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (!tody_same_type(&x, &y)) return TODY_ERR_DTYPE;
    for (uint32_t d = y.rank; d < TODY_MAX_RANK; d++) {
        if (p->stride[d] != 0) return TODY_ERR_PARAM;
    }
    return stays_inside(p, &x, &y) ? TODY_OK : TODY_ERR_PARAM;
}

static void row_run(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    memmove(j->y + at * j->element_bytes, j->x + offset[0] * (ptrdiff_t)j->element_bytes, count * j->element_bytes);
}

static void row_b32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const ptrdiff_t step = j->nest.stride[0][j->nest.rank - 1];
    const uint32_t *x = (const uint32_t *)(const void *)j->x + offset[0];
    uint32_t *y = (uint32_t *)(void *)j->y + at;
    for (uint32_t i = 0; i < count; i++) y[i] = x[(ptrdiff_t)i * step];
}

static void row_b8(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const ptrdiff_t step = j->nest.stride[0][j->nest.rank - 1];
    const uint8_t *x = j->x + offset[0];
    uint8_t *y = j->y + at;
    for (uint32_t i = 0; i < count; i++) y[i] = x[(ptrdiff_t)i * step];
}

static void row_other(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const ptrdiff_t bytes = (ptrdiff_t)j->element_bytes, step = j->nest.stride[0][j->nest.rank - 1] * bytes;
    const uint8_t *x = j->x + offset[0] * bytes;
    uint8_t *y = j->y + (ptrdiff_t)at * bytes;
    for (uint32_t i = 0; i < count; i++) memmove(y + (ptrdiff_t)i * bytes, x + (ptrdiff_t)i * step, j->element_bytes);
}

// Short rows, whose dimension the nest has no more.
static void rows_b32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const ptrdiff_t next = j->nest.stride[0][j->nest.rank - 1];
    const uint32_t *x = (const uint32_t *)(const void *)j->x + offset[0];
    uint32_t *y = (uint32_t *)(void *)j->y + (size_t)at * j->length;
    for (uint32_t i = 0; i < count; i++, x += next) {
        for (uint32_t k = 0; k < j->length; k++) *y++ = x[(ptrdiff_t)k * j->step];
    }
}

static void rows_b8(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const ptrdiff_t next = j->nest.stride[0][j->nest.rank - 1];
    const uint8_t *x = j->x + offset[0];
    uint8_t *y = j->y + (size_t)at * j->length;
    for (uint32_t i = 0; i < count; i++, x += next) {
        for (uint32_t k = 0; k < j->length; k++) *y++ = x[(ptrdiff_t)k * j->step];
    }
}

static void run_short_rows(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    tody_nest_walk(&j->nest, begin, end, j->element_bytes == 4 ? rows_b32 : rows_b8, j);
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    tody_row row = j->element_bytes == 4 ? row_b32 : j->element_bytes == 1 ? row_b8 : row_other;
    if (j->nest.stride[0][inner] == 1 && j->nest.shape[inner] * j->element_bytes >= SHORT_BYTES) row = row_run;
    tody_nest_walk(&j->nest, begin, end, row, j);
}

// Three planes of bytes side by side, as pictures have them: four bytes are stored at once, of which the last is to be written
// again.
static void interleave_3(const uint8_t *x, size_t x_stride, uint8_t *y, size_t cols) {
    for (size_t j = 0; j + 1 < cols; j++) {
        const uint8_t pixel[4] = {x[j], x[x_stride + j], x[2 * x_stride + j], 0};
        memcpy(y + 3 * j, pixel, sizeof pixel);
    }
    for (size_t i = 0; i < 3; i++) y[3 * (cols - 1) + i] = x[i * x_stride + cols - 1];
}

// What transpose_b32 does, of bytes. The inner loop is the longer one.
static void transpose_b8(const uint8_t *x, size_t x_stride, uint8_t *y, size_t y_stride, size_t rows, size_t cols) {
    if (rows == 3 && y_stride == 3) {
        interleave_3(x, x_stride, y, cols);
        return;
    }
    if (rows < cols) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) y[j * y_stride + i] = x[i * x_stride + j];
        return;
    }
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) y[j * y_stride + i] = x[i * x_stride + j];
}

static void transpose_b16(const uint16_t *x, size_t x_stride, uint16_t *y, size_t y_stride, size_t rows, size_t cols) {
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) y[j * y_stride + i] = x[i * x_stride + j];
}

// Transposing: the plane of the innermost dimension (its rows in x) and `column`, once for each element of the other
// dimensions, in tiles, so that threads can share one plane.
static void transpose_tile(const job *j, uint32_t plane, uint32_t row, uint32_t column) {
    const uint32_t inner = j->nest.rank - 1;
    ptrdiff_t x = 0, y = 0, y_stride = (ptrdiff_t)j->nest.shape[inner], column_stride = 0;
    for (uint32_t d = inner; d-- > 0; y_stride *= (ptrdiff_t)j->nest.shape[d]) {
        if (d == j->column) {
            column_stride = y_stride;
            continue;
        }
        ptrdiff_t index = (ptrdiff_t)(plane % j->nest.shape[d]);
        plane /= j->nest.shape[d];
        x += index * j->nest.stride[0][d];
        y += index * y_stride;
    }
    x += (ptrdiff_t)row * j->nest.stride[0][inner] + (ptrdiff_t)column;
    y += (ptrdiff_t)column * column_stride + (ptrdiff_t)row;
    const size_t x_stride = (size_t)j->nest.stride[0][inner], to_stride = (size_t)column_stride;
    const uint32_t rows = tody_min_u32(j->nest.shape[inner] - row, TILE_ROWS);
    const uint32_t columns = tody_min_u32(j->nest.shape[j->column] - column, TILE_COLUMNS);
    if (j->element_bytes == 1) {
        transpose_b8(j->x + x, x_stride, j->y + y, to_stride, rows, columns);
        return;
    }
    if (j->element_bytes == 2) {
        transpose_b16((const uint16_t *)(const void *)j->x + x, x_stride, (uint16_t *)(void *)j->y + y, to_stride, rows,
                      columns);
        return;
    }
    j->kernels->transpose_b32((const uint32_t *)(const void *)j->x + x, x_stride, (uint32_t *)(void *)j->y + y, to_stride, rows,
                              columns);
}

static void run_tiles(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t rows = tody_div_up(j->nest.shape[j->nest.rank - 1], TILE_ROWS);
    const uint32_t columns = tody_div_up(j->nest.shape[j->column], TILE_COLUMNS);
    for (uint32_t i = begin; i < end; i++) {
        transpose_tile(j, i / columns / rows, i / columns % rows * TILE_ROWS, i % columns * TILE_COLUMNS);
    }
}

// The outer dimension along which x is contiguous, if the innermost one is not; else rank.
static uint32_t find_column(const tody_nest *nest) {
    const uint32_t inner = nest->rank - 1;
    for (uint32_t d = 0; d < inner; d++) {
        if (nest->stride[0][d] == 1 && nest->stride[0][inner] > 1) return d;
    }
    return nest->rank;
}

static void copy_run(const tody_call *call) {
    const tody_copy_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    const size_t bytes = tody_dtype_bytes(y.dtype);
    job job = {.kernels = call->kernels,
               .nest = tody_nest_like(&y),
               .x = (const uint8_t *)x.data + (size_t)p->offset * bytes,
               .y = y.data,
               .element_bytes = bytes};
    for (uint32_t d = 0; d < y.rank; d++) job.nest.stride[0][d] = p->stride[d];
    tody_nest_simplify(&job.nest);
    job.column = find_column(&job.nest);
    const uint32_t inner = job.nest.rank - 1, rows = job.nest.shape[inner];
    if ((bytes == 4 || bytes == 1) && job.column > inner && inner > 0 && rows * bytes < SHORT_BYTES) {
        job.length = rows;
        job.step = job.nest.stride[0][inner];
        job.nest.rank--;
        tody_for_ranges(call, y.count / rows, tody_div_up(TODY_GRAIN, rows), run_short_rows, &job);
        return;
    }
    if (bytes > 4 || job.column > inner) {
        tody_for_ranges(call, y.count, TODY_GRAIN, run_range, &job);
        return;
    }
    const uint32_t columns = job.nest.shape[job.column];
    const uint32_t tiles = tody_div_up(rows, TILE_ROWS) * tody_div_up(columns, TILE_COLUMNS);
    const uint32_t tile_elements = tody_min_u32(rows, TILE_ROWS) * tody_min_u32(columns, TILE_COLUMNS);
    tody_for_ranges(call, y.count / rows / columns * tiles, tody_div_up(TODY_GRAIN, tile_elements), run_tiles, &job);
}

const tody_op tody_op_copy = {
    .name = "copy",
    .code = TODY_OP_COPY,
    .param_bytes = sizeof(tody_copy_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = copy_check,
    .run = copy_run,
};
