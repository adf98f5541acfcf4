// cast.c - from one dtype or quantisation to another.
// SPDX-License-Identifier: Apache-2.0
#include "convert.h"
#include "core/kernels.h"
#include "nest.h"
#include "quant.h"

enum { BLOCK = 64 };

typedef struct job {
    tody_tensor x, y;
    const tody_kernels *kernels;
    int8_t table[256];  // int8 to int8
} job;

// int8 and int16 may be quantised per tensor, nothing else. `zero_point` is then one of its values.
static bool can_take(const tody_tensor *t) {
    if (t->pack || t->dtype == TODY_BF16 || t->scale_count > 1) return false;
    if (t->scale_count == 0) return t->zero_point == 0;
    return (t->dtype == TODY_S8 || t->dtype == TODY_S16) && t->scales[0] > 0.0f && t->scales[0] < __builtin_inff() &&
           t->zero_point >= INT8_MIN && t->zero_point <= INT8_MAX;
}

static tody_status cast_check(const tody_call *call) {
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (!can_take(&x) || !can_take(&y)) return TODY_ERR_DTYPE;
    if (!tody_same_shape(&x, &y)) return TODY_ERR_SHAPE;
    if (call->in_count == 1) return TODY_OK;
    if (x.dtype != TODY_S8 || y.dtype != TODY_S8 || !x.scale_count || !y.scale_count) return TODY_ERR_DTYPE;
    return tody_check_last_multipliers(call, 1, 1);
}

static int64_t load_integer(const tody_tensor *x, uint32_t i) {
    switch (x->dtype) {
        case TODY_S8: return ((const int8_t *)x->data)[i];
        case TODY_S16: return ((const int16_t *)x->data)[i];
        case TODY_S32: return ((const int32_t *)x->data)[i];
        case TODY_S64: return ((const int64_t *)x->data)[i];
        case TODY_BOOL: return ((const uint8_t *)x->data)[i] != 0;
        default: return ((const uint8_t *)x->data)[i];
    }
}

// What does not fit loses its upper bits.
static void store_integer(const tody_tensor *y, uint32_t i, int64_t value) {
    switch (y->dtype) {
        case TODY_S8: ((int8_t *)y->data)[i] = (int8_t)(uint8_t)value; break;
        case TODY_S16: ((int16_t *)y->data)[i] = (int16_t)(uint16_t)value; break;
        case TODY_S32: ((int32_t *)y->data)[i] = (int32_t)(uint32_t)value; break;
        case TODY_S64: ((int64_t *)y->data)[i] = value; break;
        case TODY_BOOL: ((uint8_t *)y->data)[i] = value != 0; break;
        default: ((uint8_t *)y->data)[i] = (uint8_t)value; break;
    }
}

static void run_integer(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    for (uint32_t i = begin; i < end; i++) store_integer(&j->y, i, load_integer(&j->x, i));
}

static void run_real(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    float block[BLOCK];
    if (j->x.dtype == TODY_F32) {
        tody_store_f32(&j->y, begin, end - begin, (const float *)j->x.data + begin);
        return;
    }
    if (j->y.dtype == TODY_F32) {
        tody_load_f32(&j->x, begin, end - begin, (float *)j->y.data + begin);
        return;
    }
    for (uint32_t at = begin; at < end; at += BLOCK) {
        const uint32_t count = tody_min_u32(end - at, BLOCK);
        tody_load_f32(&j->x, at, count, block);
        tody_store_f32(&j->y, at, count, block);
    }
}

static void run_rescale(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    j->kernels->lut_s8(j->table, (const int8_t *)j->x.data + begin, (int8_t *)j->y.data + begin, end - begin);
}

static void make_table(job *job, float scale) {
    const tody_finish_s8 finish = tody_finish_of(NULL, &job->y);
    for (int32_t x = INT8_MIN; x <= INT8_MAX; x++) {
        job->table[x - INT8_MIN] = tody_finish(tody_scaled((int8_t)x, job->x.zero_point, scale), &finish);
    }
}

static bool is_real(const tody_tensor *t) { return t->dtype == TODY_F32 || t->dtype == TODY_F16 || t->scale_count; }

static void cast_run(const tody_call *call) {
    job job = {.x = tody_in(call, 0), .y = tody_out(call, 0), .kernels = call->kernels};
    tody_range range = is_real(&job.x) || is_real(&job.y) ? run_real : run_integer;
    if (call->in_count > 1) {
        make_table(&job, *(const float *)tody_in(call, 1).data);
        range = run_rescale;
    }
    tody_for_ranges(call, job.y.count, TODY_GRAIN, range, &job);
}

const tody_op tody_op_cast = {
    .name = "cast",
    .code = TODY_OP_CAST,
    .param_bytes = 0,
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = cast_check,
    .run = cast_run,
};
