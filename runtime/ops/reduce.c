// reduce.c - sum, mean, largest, smallest or product over some dimensions.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "quant.h"

enum {
    COLUMNS = 128,    // results of a task where neighbours stay apart
    COLUMNS_S8 = 64,  // of int8: chips have little stack
    ROWS = 64,        // whose sum is kept in float32
    TAPS = 32,        // rows of int8 that are summed in one call
    BLOCK = 64,       // see fold_row
};

typedef struct job {
    const tody_kernels *kernels;
    tody_nest kept, reduced;  // the dimensions of x that stay, and those that go
    uint32_t outer;           // elements of `reduced` but for its innermost dimension
    uint32_t fn, count;       // count: of elements behind each result
    const void *x;
    void *y;
    uint32_t width;      // int8: neighbouring results of one task
    int32_t x_zero;      // int8 mean, as the next two
    const float *scale;  // its multiplier
    tody_finish_s8 finish;
} job;

static tody_status check_types(const tody_call *call, const tody_tensor *x, const tody_tensor *y) {
    const uint32_t fn = ((const tody_reduce_params *)call->params)->fn;
    if (y->dtype != x->dtype || x->pack || y->pack) return TODY_ERR_DTYPE;
    if (x->dtype == TODY_S8 && fn == TODY_REDUCE_MEAN) {
        return tody_is_real(x) && tody_is_real(y) ? tody_check_last_multipliers(call, 1, 1) : TODY_ERR_DTYPE;
    }
    if (call->in_count != 1) return TODY_ERR_OP_RECORD;
    switch (x->dtype) {
        case TODY_F32: return TODY_OK;
        case TODY_S32: return fn != TODY_REDUCE_MEAN ? TODY_OK : TODY_ERR_DTYPE;
        case TODY_S8:
            return tody_same_type(x, y) && (fn == TODY_REDUCE_MAX || fn == TODY_REDUCE_MIN) ? TODY_OK : TODY_ERR_DTYPE;
        default: return TODY_ERR_DTYPE;
    }
}

static tody_status reduce_check(const tody_call *call) {
    const tody_reduce_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (p->fn >= TODY_REDUCE_COUNT || p->axes >> x.rank != 0) return TODY_ERR_PARAM;
    tody_status status = check_types(call, &x, &y);
    if (status) return status;
    if (x.rank != y.rank) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < x.rank; d++) {
        if (y.shape[d] != (p->axes >> d & 1u ? 1 : x.shape[d])) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

// The dimensions of x whose bit is set in `axes`.
static tody_nest select_axes(const tody_tensor *x, uint32_t axes) {
    tody_nest nest = {.rank = 0};
    ptrdiff_t stride = (ptrdiff_t)x->count;
    for (uint32_t d = 0; d < x->rank; d++) {
        stride /= (ptrdiff_t)x->shape[d];
        if (!(axes >> d & 1u)) continue;
        nest.shape[nest.rank] = x->shape[d];
        nest.stride[0][nest.rank++] = stride;
    }
    tody_nest_simplify(&nest);
    return nest;
}

static ptrdiff_t at(const tody_nest *nest, uint32_t i) {
    ptrdiff_t offset[3];
    tody_nest_seek(nest, i, offset);
    return offset[0];
}

// NaN wins.
static float fold_f32(uint32_t fn, float a, float b) {
    if (fn == TODY_REDUCE_PROD) return a * b;
    bool take = fn == TODY_REDUCE_MAX ? b > a : b < a;
    return take || b != b ? b : a;
}

static int32_t fold_s32(uint32_t fn, int32_t a, int32_t b) {
    switch (fn) {
        case TODY_REDUCE_SUM: return (int32_t)((uint32_t)a + (uint32_t)b);
        case TODY_REDUCE_MAX: return a > b ? a : b;
        case TODY_REDUCE_MIN: return a < b ? a : b;
        default: return (int32_t)((uint32_t)a * (uint32_t)b);
    }
}

static const uint32_t functions[TODY_REDUCE_COUNT] = {
    [TODY_REDUCE_MAX] = TODY_FN2_MAX, [TODY_REDUCE_MIN] = TODY_FN2_MIN, [TODY_REDUCE_PROD] = TODY_FN2_MUL};

// Largest, smallest or product of a row: BLOCK of each in step, and then these.
static float fold_row(const job *j, const float *x, uint32_t length) {
    const float infinity = __builtin_inff();
    float block[BLOCK];
    const uint32_t first = tody_min_u32(length, BLOCK);
    j->kernels->unary_f32(TODY_FN_NONE, 0.0f, 0.0f, x, block, first);
    for (uint32_t at = first; at < length; at += BLOCK) {
        const uint32_t count = tody_min_u32(length - at, BLOCK);
        j->kernels->binary_f32(functions[j->fn], block, 1, x + at, 1, block, count, -infinity, infinity);
    }
    for (uint32_t i = 1; i < first; i++) block[0] = fold_f32(j->fn, block[0], block[i]);
    return block[0];
}

// Results whose elements are the rows of x, or parts of them: sums in float32 inside of a row, in double precision over rows.
static void run_rows(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t length = j->reduced.shape[j->reduced.rank - 1];
    for (uint32_t i = begin; i < end; i++) {
        const float *x = (const float *)j->x + at(&j->kept, i);
        double total = 0.0;
        float folded = 0.0f, sums[2];
        for (uint32_t r = 0; r < j->outer; r++) {
            const float *row = x + at(&j->reduced, r * length);
            if (j->fn <= TODY_REDUCE_MEAN) {
                j->kernels->moments_f32(row, length, 0.0f, sums);
                total += (double)sums[0];
            } else {
                const float of_row = fold_row(j, row, length);
                folded = r == 0 ? of_row : fold_f32(j->fn, folded, of_row);
            }
        }
        if (j->fn <= TODY_REDUCE_MEAN) folded = (float)(total / (j->fn == TODY_REDUCE_MEAN ? (double)j->count : 1.0));
        ((float *)j->y)[i] = folded;
    }
}

// Sums or means of neighbouring results: ROWS rows of x at a time, their sums in double precision.
static void sum_columns(const job *j, const float *x, float *y, uint32_t columns) {
    const uint32_t inner = j->reduced.rank - 1, length = j->reduced.shape[inner];
    const ptrdiff_t stride = j->reduced.stride[0][inner];
    float sum[COLUMNS], square[COLUMNS];
    double total[COLUMNS] = {0.0};
    for (uint32_t r = 0, rows; r < j->count; r += rows) {
        const float *row = x + at(&j->reduced, r);
        rows = tody_min_u32(length - r % length, ROWS);
        j->kernels->column_moments_f32(&(tody_columns_f32){rows, columns, row, (size_t)stride, NULL, sum, square});
        for (uint32_t c = 0; c < columns; c++) total[c] += (double)sum[c];
    }
    const double divisor = j->fn == TODY_REDUCE_MEAN ? (double)j->count : 1.0;
    for (uint32_t c = 0; c < columns; c++) y[c] = (float)(total[c] / divisor);
}

static void fold_columns(const job *j, const float *x, float *y, uint32_t columns) {
    const float infinity = __builtin_inff();
    j->kernels->unary_f32(TODY_FN_NONE, 0.0f, 0.0f, x, y, columns);
    for (uint32_t r = 1; r < j->count; r++) {
        j->kernels->binary_f32(functions[j->fn], y, 1, x + at(&j->reduced, r), 1, y, columns, -infinity, infinity);
    }
}

// Results that are neighbours in x, COLUMNS at a time.
static void run_columns(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t length = j->kept.shape[j->kept.rank - 1], groups = tody_div_up(length, COLUMNS);
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t first = i % groups * COLUMNS, result = i / groups * length + first;
        const uint32_t columns = tody_min_u32(length - first, COLUMNS);
        const float *x = (const float *)j->x + at(&j->kept, result);
        if (j->fn <= TODY_REDUCE_MEAN) {
            sum_columns(j, x, (float *)j->y + result, columns);
        } else {
            fold_columns(j, x, (float *)j->y + result, columns);
        }
    }
}

static void run_s32(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) {
        const int32_t *x = (const int32_t *)j->x + at(&j->kept, i);
        int32_t folded = x[0];
        for (uint32_t r = 1; r < j->count; r++) folded = fold_s32(j->fn, folded, x[at(&j->reduced, r)]);
        ((int32_t *)j->y)[i] = folded;
    }
}

// `columns` neighbouring results of int8, at most COLUMNS_S8.
static void fold_s8(const job *j, const int8_t *x, int8_t *y, uint32_t columns) {
    const uint32_t inner = j->reduced.rank - 1, length = j->reduced.shape[inner];
    uint32_t sum[COLUMNS_S8] = {0};
    for (uint32_t c = 0; c < columns; c++) y[c] = x[c];
    for (uint32_t r = 0; r < j->count; r++) {
        const int8_t *row = x + at(&j->reduced, r / length * length) + (ptrdiff_t)(r % length) * j->reduced.stride[0][inner];
        for (uint32_t c = 0; c < columns; c++) {
            sum[c] += (uint32_t)(row[c] - j->x_zero);
            y[c] = (j->fn == TODY_REDUCE_MAX ? row[c] > y[c] : row[c] < y[c]) ? row[c] : y[c];
        }
    }
    for (uint32_t c = 0; j->scale && c < columns; c++) y[c] = tody_finish((float)(int32_t)sum[c] * *j->scale, &j->finish);
}

// Pointers to `taps` rows of x from row `first` on.
static void put_rows(const job *j, const int8_t *x, uint32_t first, uint32_t taps, const int8_t **rows) {
    const uint32_t inner = j->reduced.rank - 1, length = j->reduced.shape[inner];
    uint32_t left = 0;  // of a line of rows that are equally far apart
    for (uint32_t t = 0; t < taps; t++, left--) {
        if (left == 0) {
            rows[t] = x + at(&j->reduced, first + t);
            left = length - (first + t) % length;
        } else {
            rows[t] = rows[t - 1] + j->reduced.stride[0][inner];
        }
    }
}

// Mean or largest of the same, from TAPS rows at a time.
static void fold_rows_s8(const job *j, const int8_t *x, int8_t *y, uint32_t columns) {
    const int8_t *rows[TAPS];
    uint32_t sum[COLUMNS_S8] = {0}, part[COLUMNS_S8];
    int8_t most[COLUMNS_S8];
    for (uint32_t c = 0; c < columns; c++) y[c] = INT8_MIN;
    for (uint32_t first = 0; first < j->count; first += TAPS) {
        const uint32_t taps = tody_min_u32(j->count - first, TAPS);
        put_rows(j, x, first, taps, rows);
        if (j->scale) {
            j->kernels->sum_s8(rows, taps, columns, part);
            for (uint32_t c = 0; c < columns; c++) sum[c] += part[c];
        } else {
            j->kernels->max_s8(rows, taps, columns, most);
            for (uint32_t c = 0; c < columns; c++) y[c] = most[c] > y[c] ? most[c] : y[c];
        }
    }
    const uint32_t zeros = j->count * (uint32_t)j->x_zero;
    for (uint32_t c = 0; j->scale && c < columns; c++) {
        y[c] = tody_finish((float)(int32_t)(sum[c] - zeros) * *j->scale, &j->finish);
    }
}

static void run_s8(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t length = j->kept.shape[j->kept.rank - 1], groups = tody_div_up(length, j->width);
    void (*const fold)(const struct job *, const int8_t *, int8_t *, uint32_t) =
        j->width > 1 && j->fn != TODY_REDUCE_MIN ? fold_rows_s8 : fold_s8;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t first = i % groups * j->width, result = i / groups * length + first;
        fold(j, (const int8_t *)j->x + at(&j->kept, result), (int8_t *)j->y + result, tody_min_u32(length - first, j->width));
    }
}

static void reduce_s8(const tody_call *call, job *job, const tody_tensor *x, const tody_tensor *y) {
    const uint32_t inner = job->kept.rank - 1, length = job->kept.shape[inner];
    job->width = job->kept.stride[0][inner] == 1 ? COLUMNS_S8 : 1;
    if (job->fn == TODY_REDUCE_MEAN) {
        job->x_zero = x->zero_point;
        job->scale = tody_in(call, 1).data;
        job->finish = tody_finish_of(NULL, y);
    }
    const uint32_t tasks = y->count / length * tody_div_up(length, job->width);
    tody_for_ranges(call, tasks, TODY_GRAIN / job->count / job->width + 1, run_s8, job);
}

static void reduce_run(const tody_call *call) {
    const tody_reduce_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    job job = {.kernels = call->kernels,
               .kept = select_axes(&x, ~p->axes),
               .reduced = select_axes(&x, p->axes),
               .fn = p->fn,
               .count = x.count / y.count,
               .x = x.data,
               .y = y.data};
    const uint32_t inner = job.reduced.rank - 1, grain = TODY_GRAIN / job.count + 1;
    job.outer = job.count / job.reduced.shape[inner];
    if (x.dtype == TODY_S8) {
        reduce_s8(call, &job, &x, &y);
    } else if (x.dtype == TODY_S32) {
        tody_for_ranges(call, y.count, grain, run_s32, &job);
    } else if (job.reduced.stride[0][inner] == 1) {
        tody_for_ranges(call, y.count, grain, run_rows, &job);
    } else {
        const uint32_t length = job.kept.shape[job.kept.rank - 1];
        tody_for_ranges(call, y.count / length * tody_div_up(length, COLUMNS), grain / COLUMNS + 1, run_columns, &job);
    }
}

const tody_op tody_op_reduce = {
    .name = "reduce",
    .code = TODY_OP_REDUCE,
    .param_bytes = sizeof(tody_reduce_params),
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = reduce_check,
    .run = reduce_run,
};
