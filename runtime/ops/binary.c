// binary.c - functions of two elements, with broadcasting.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "core/kernels.h"
#include "nest.h"
#include "quant.h"

enum { REPEATED = 256 };  // elements of the buffer in which a short row, or a single value, is repeated

typedef struct job {
    const tody_kernels *kernels;
    tody_nest nest;
    uint32_t fn;
    tody_activation clamp;
    const void *a, *b;
    void *y;
    tody_row row;
    uint32_t length;  // of short rows
    tody_binary_s8 s8;
} job;

static bool is_comparison(uint32_t fn) { return fn >= TODY_FN2_EQUAL && fn <= TODY_FN2_LESS_EQUAL; }

// Whether fn takes operands of this dtype.
static bool takes(uint32_t fn, tody_dtype dtype) {
    switch (dtype) {
        case TODY_F32: return fn <= TODY_FN2_LESS_EQUAL;
        case TODY_S32: return fn <= TODY_FN2_FMOD || is_comparison(fn);
        case TODY_BOOL: return fn == TODY_FN2_EQUAL || fn >= TODY_FN2_AND;
        default: return false;
    }
}

static tody_status check_s8(const tody_call *call, const tody_tensor *a, const tody_tensor *b, const tody_tensor *y) {
    const tody_binary_params *p = call->params;
    if (p->fn == TODY_FN2_MIN || p->fn == TODY_FN2_MAX) {
        if (call->in_count != 2) return TODY_ERR_OP_RECORD;
        if (p->activation.fn != TODY_FN_NONE) return TODY_ERR_PARAM;
        return tody_same_type(a, y) && tody_same_type(b, y) ? TODY_OK : TODY_ERR_DTYPE;
    }
    if (p->fn > TODY_FN2_MUL || b->dtype != a->dtype || y->dtype != a->dtype) return TODY_ERR_DTYPE;
    if (!tody_is_real(a) || !tody_is_real(b) || !tody_is_real(y)) return TODY_ERR_DTYPE;
    if (!tody_limits_ok(&p->activation, TODY_S8)) return TODY_ERR_PARAM;
    return tody_check_last_multipliers(call, 2, p->fn == TODY_FN2_MUL ? 1 : 2);
}

// Everything but shapes, of all dtypes but int8.
static tody_status check_types(const tody_call *call, const tody_tensor *a, const tody_tensor *b, const tody_tensor *y) {
    const tody_binary_params *p = call->params;
    bool arithmetic = p->fn <= TODY_FN2_PRELU;
    if (call->in_count != 2) return TODY_ERR_OP_RECORD;
    if (!takes(p->fn, a->dtype) || b->dtype != a->dtype || a->pack || b->pack || y->pack) return TODY_ERR_DTYPE;
    if (y->dtype != (arithmetic ? a->dtype : TODY_BOOL)) return TODY_ERR_DTYPE;
    bool clamp = p->activation.fn == TODY_FN_CLAMP && arithmetic && a->dtype == TODY_F32;
    if (p->activation.fn != TODY_FN_NONE && !clamp) return TODY_ERR_PARAM;
    return tody_activation_ok(&p->activation) ? TODY_OK : TODY_ERR_PARAM;
}

static tody_status binary_check(const tody_call *call) {
    const tody_binary_params *p = call->params;
    const tody_tensor a = tody_in(call, 0), b = tody_in(call, 1), y = tody_out(call, 0);
    if (p->fn >= TODY_FN2_COUNT) return TODY_ERR_PARAM;
    tody_status status = (a.dtype == TODY_S8 ? check_s8 : check_types)(call, &a, &b, &y);
    if (status) return status;
    tody_nest nest = tody_nest_like(&y);
    return tody_nest_broadcast(&nest, 0, &a) && tody_nest_broadcast(&nest, 1, &b) ? TODY_OK : TODY_ERR_SHAPE;
}

static void row_f32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    const size_t a_step = j->nest.stride[0][inner] != 0, b_step = j->nest.stride[1][inner] != 0;
    j->kernels->binary_f32(j->fn, (const float *)j->a + offset[0], a_step, (const float *)j->b + offset[1], b_step,
                           (float *)j->y + offset[2], count, tody_low(&j->clamp), tody_high(&j->clamp));
}

// Whether b (operand 1) is the same short row again and again, and a and y (2) run on from row to row: channels of a picture.
// Then both inner dimensions become one, in which `length` says how often b begins anew.
static bool join_short_rows(tody_nest *nest, uint32_t *length) {
    if (nest->rank < 2 || nest->shape[nest->rank - 1] > REPEATED / 4) return false;
    const uint32_t inner = nest->rank - 1, outer = inner - 1;
    const ptrdiff_t row = (ptrdiff_t)nest->shape[inner];
    const bool runs_on = nest->stride[0][inner] == 1 && nest->stride[0][outer] == row && nest->stride[2][outer] == row;
    if (!runs_on || nest->stride[1][inner] != 1 || nest->stride[1][outer] != 0) return false;
    *length = nest->shape[inner];
    nest->shape[outer] *= *length;
    nest->stride[0][outer] = 1;
    nest->stride[2][outer] = 1;
    nest->rank--;
    return true;
}

// A stretch of such rows, several in one call. It may begin inside of a row.
static void row_short_f32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const uint32_t whole = tody_min_u32(REPEATED / j->length * j->length, count);
    const float *a = (const float *)j->a + offset[0];
    float b[REPEATED], *y = (float *)j->y + offset[2];
    const float *row = (const float *)j->b + offset[1];
    for (uint32_t i = 0, k = at % j->length; i < whole; i++, k = k + 1 < j->length ? k + 1 : 0) b[i] = row[k];
    for (uint32_t i = 0; i < count; i += whole) {
        j->kernels->binary_f32(j->fn, a + i, 1, b, 1, y + i, tody_min_u32(count - i, whole), tody_low(&j->clamp),
                               tody_high(&j->clamp));
    }
}

static void row_short_s8(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    const job *j = context;
    const uint32_t whole = tody_min_u32(REPEATED / j->length * j->length, count);
    const int8_t *a = (const int8_t *)j->a + offset[0];
    int8_t b[REPEATED], *y = (int8_t *)j->y + offset[2];
    const int8_t *row = (const int8_t *)j->b + offset[1];
    for (uint32_t i = 0, k = at % j->length; i < whole; i++, k = k + 1 < j->length ? k + 1 : 0) b[i] = row[k];
    for (uint32_t i = 0; i < count; i += whole) j->kernels->binary_s8(&j->s8, a + i, b, y + i, tody_min_u32(count - i, whole));
}

static void row_compare_f32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const ptrdiff_t a_step = j->nest.stride[0][j->nest.rank - 1], b_step = j->nest.stride[1][j->nest.rank - 1];
    const float *a = (const float *)j->a + offset[0], *b = (const float *)j->b + offset[1];
    uint8_t *y = (uint8_t *)j->y + offset[2];
    for (uint32_t i = 0; i < count; i++, a += a_step, b += b_step) {
        y[i] = j->fn == TODY_FN2_EQUAL ? *a == *b : j->fn == TODY_FN2_LESS ? *a < *b : *a <= *b;
    }
}

static void row_compare_s32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const ptrdiff_t a_step = j->nest.stride[0][j->nest.rank - 1], b_step = j->nest.stride[1][j->nest.rank - 1];
    const int32_t *a = (const int32_t *)j->a + offset[0], *b = (const int32_t *)j->b + offset[1];
    uint8_t *y = (uint8_t *)j->y + offset[2];
    for (uint32_t i = 0; i < count; i++, a += a_step, b += b_step) {
        y[i] = j->fn == TODY_FN2_EQUAL ? *a == *b : j->fn == TODY_FN2_LESS ? *a < *b : *a <= *b;
    }
}

static void row_bool(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const ptrdiff_t a_step = j->nest.stride[0][j->nest.rank - 1], b_step = j->nest.stride[1][j->nest.rank - 1];
    const uint8_t *a = (const uint8_t *)j->a + offset[0], *b = (const uint8_t *)j->b + offset[1];
    uint8_t *y = (uint8_t *)j->y + offset[2];
    for (uint32_t i = 0; i < count; i++, a += a_step, b += b_step) {
        bool p = *a != 0, q = *b != 0;
        y[i] = j->fn == TODY_FN2_AND ? p && q : j->fn == TODY_FN2_OR ? p || q : j->fn == TODY_FN2_XOR ? p != q : p == q;
    }
}

// Two's complement without overflow: what leaves 32 bits wraps. Division goes towards zero; by zero it gives 0.
static int32_t divide_s32(int32_t a, int32_t b) { return b == 0 ? 0 : b == -1 ? (int32_t)(0u - (uint32_t)a) : a / b; }

static int32_t fmod_s32(int32_t a, int32_t b) { return b == 0 || b == -1 ? 0 : a % b; }

static int32_t mod_s32(int32_t a, int32_t b) {
    int32_t r = fmod_s32(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int32_t apply_s32(uint32_t fn, int32_t a, int32_t b) {
    switch (fn) {
        case TODY_FN2_ADD: return (int32_t)((uint32_t)a + (uint32_t)b);
        case TODY_FN2_SUB: return (int32_t)((uint32_t)a - (uint32_t)b);
        case TODY_FN2_MUL: return (int32_t)((uint32_t)a * (uint32_t)b);
        case TODY_FN2_DIV: return divide_s32(a, b);
        case TODY_FN2_MIN: return a < b ? a : b;
        case TODY_FN2_MAX: return a > b ? a : b;
        case TODY_FN2_MOD: return mod_s32(a, b);
        default: return fmod_s32(a, b);
    }
}

static void row_s32(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const ptrdiff_t a_step = j->nest.stride[0][j->nest.rank - 1], b_step = j->nest.stride[1][j->nest.rank - 1];
    const int32_t *a = (const int32_t *)j->a + offset[0], *b = (const int32_t *)j->b + offset[1];
    int32_t *y = (int32_t *)j->y + offset[2];
    for (uint32_t i = 0; i < count; i++, a += a_step, b += b_step) y[i] = apply_s32(j->fn, *a, *b);
}

// Steps are 1, or 0 for a single value, which is repeated.
static void row_s8(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count) {
    (void)at;
    const job *j = context;
    const uint32_t inner = j->nest.rank - 1;
    const bool a_runs = j->nest.stride[0][inner] != 0, b_runs = j->nest.stride[1][inner] != 0;
    const int8_t *a = (const int8_t *)j->a + offset[0], *b = (const int8_t *)j->b + offset[1];
    int8_t *y = (int8_t *)j->y + offset[2], value[REPEATED];
    if (a_runs == b_runs) {
        j->kernels->binary_s8(&j->s8, a, b, y, a_runs ? count : 1);
        if (!a_runs) memset(y, y[0], count);
        return;
    }
    memset(value, a_runs ? *b : *a, sizeof value);
    for (uint32_t i = 0; i < count; i += REPEATED) {
        const uint32_t some = tody_min_u32(count - i, REPEATED);
        j->kernels->binary_s8(&j->s8, a_runs ? a + i : value, a_runs ? value : b + i, y + i, some);
    }
}

static void run_range(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    tody_nest_walk(&j->nest, begin, end, j->row, j);
}

static tody_binary_s8 parameters_s8(const tody_call *call, const tody_tensor *a, const tody_tensor *b, const tody_tensor *y) {
    const tody_binary_params *p = call->params;
    tody_binary_s8 s8 = {.fn2 = p->fn, .x_zero = a->zero_point, .y_zero = b->zero_point};
    s8.finish = tody_finish_of(&p->activation, y);
    if (call->in_count < 3) return s8;
    const tody_tensor scale = tody_in(call, 2);
    s8.x_scale = ((const float *)scale.data)[0];
    s8.y_scale = ((const float *)scale.data)[scale.count - 1];
    return s8;
}

static void binary_run(const tody_call *call) {
    const tody_binary_params *p = call->params;
    const tody_tensor a = tody_in(call, 0), b = tody_in(call, 1), y = tody_out(call, 0);
    job job = {.kernels = call->kernels,
               .nest = tody_nest_like(&y),
               .fn = p->fn,
               .clamp = p->activation,
               .a = a.data,
               .b = b.data,
               .y = y.data,
               .row = row_f32};
    tody_nest_broadcast(&job.nest, 0, &a);
    tody_nest_broadcast(&job.nest, 1, &b);
    tody_nest_broadcast(&job.nest, 2, &y);
    tody_nest_simplify(&job.nest);
    if (a.dtype == TODY_BOOL) job.row = row_bool;
    if (a.dtype == TODY_S32) job.row = is_comparison(p->fn) ? row_compare_s32 : row_s32;
    if (a.dtype == TODY_F32 && is_comparison(p->fn)) job.row = row_compare_f32;
    if (a.dtype == TODY_S8) {
        job.s8 = parameters_s8(call, &a, &b, &y);
        job.row = join_short_rows(&job.nest, &job.length) ? row_short_s8 : row_s8;
    } else if (job.row == row_f32 && join_short_rows(&job.nest, &job.length)) {
        job.row = row_short_f32;
    }
    tody_for_ranges(call, y.count, TODY_GRAIN, run_range, &job);
}

const tody_op tody_op_binary = {
    .name = "binary",
    .code = TODY_OP_BINARY,
    .param_bytes = sizeof(tody_binary_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .row_inputs = 1u << 0 | 1u << 1,
    .pitched_inputs = 1u << 0 | 1u << 1,
    .pitched_output = true,
    .check = binary_check,
    .run = binary_run,
};
