// instance_norm.c - every channel of every picture with mean 0 and variance 1.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { X = 0, SCALE = 1, BIAS = 2 };
enum { CHANNELS = 16, BLOCK = 256 };  // channels of a task; pixels whose sum is kept in float32

typedef struct job {
    const float *x, *scale, *bias;
    float *y;
    uint32_t pixels, channels;
    const tody_instance_norm_params *params;
} job;

static tody_status check_parameter(const tody_call *call, uint32_t i, uint32_t channels) {
    if (!tody_has_in(call, i)) return TODY_OK;
    const tody_tensor t = tody_in(call, i);
    if (!tody_plain_f32(&t)) return TODY_ERR_DTYPE;
    return tody_has_shape(&t, 1, &channels) ? TODY_OK : TODY_ERR_SHAPE;
}

static tody_status instance_norm_check(const tody_call *call) {
    const tody_instance_norm_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (!tody_plain_f32(&x) || !tody_plain_f32(&y)) return TODY_ERR_DTYPE;
    if (x.rank != 4 || !tody_same_shape(&x, &y)) return TODY_ERR_SHAPE;
    if (!tody_activation_ok(&p->activation) || !(p->epsilon >= 0.0f && p->epsilon < __builtin_inff())) return TODY_ERR_PARAM;
    tody_status status = check_parameter(call, SCALE, x.shape[3]);
    return status ? status : check_parameter(call, BIAS, x.shape[3]);
}

// For loops whose length must be known where they are compiled.
#define INLINE static inline __attribute__((always_inline))

// Means over the pixels of x - centre and of its square, for some channels.
INLINE void average(const job *j, const float *x, uint32_t channels, const float *centre, float *result, float *squares) {
    double total[2][CHANNELS] = {{0.0}};
    for (uint32_t at = 0; at < j->pixels; at += BLOCK) {
        const uint32_t end = tody_min_u32(at + BLOCK, j->pixels);
        float sum[CHANNELS] = {0.0f}, square[CHANNELS] = {0.0f};
        for (uint32_t i = at; i < end; i++) {
            const float *pixel = x + (size_t)i * j->channels;
            for (uint32_t c = 0; c < channels; c++) {
                const float d = pixel[c] - centre[c];
                sum[c] += d;
                square[c] += d * d;
            }
        }
        for (uint32_t c = 0; c < channels; c++) total[0][c] += (double)sum[c];
        for (uint32_t c = 0; c < channels; c++) total[1][c] += (double)square[c];
    }
    for (uint32_t c = 0; c < channels; c++) result[c] = (float)(total[0][c] / (double)j->pixels);
    for (uint32_t c = 0; c < channels; c++) squares[c] = (float)(total[1][c] / (double)j->pixels);
}

// `channels` channels from `first` on, in one picture. Inlined with the usual number, so that it vectorises.
INLINE void normalise(const job *j, size_t picture, uint32_t first, uint32_t channels) {
    const tody_activation *f = &j->params->activation;
    const float *x = j->x + picture + first, lo = tody_low(f), hi = tody_high(f);
    float *y = j->y + picture + first;
    float mean[CHANNELS] = {0.0f}, rest[CHANNELS], factor[CHANNELS], shift[CHANNELS];
    average(j, x, channels, mean, mean, factor);
    average(j, x, channels, mean, rest, factor);  // what rounding the mean left over, and the variance with it
    for (uint32_t c = 0; c < channels; c++) {
        factor[c] = 1.0f / __builtin_sqrtf(factor[c] - rest[c] * rest[c] + j->params->epsilon);
        if (j->scale) factor[c] *= j->scale[first + c];
        shift[c] = (j->bias ? j->bias[first + c] : 0.0f) - rest[c] * factor[c];
    }
    for (uint32_t i = 0; i < j->pixels; i++) {
        float v[CHANNELS];
        for (uint32_t c = 0; c < channels; c++) v[c] = (x[(size_t)i * j->channels + c] - mean[c]) * factor[c] + shift[c];
        for (uint32_t c = 0; c < channels; c++) v[c] = v[c] < lo ? lo : v[c] > hi ? hi : v[c];
        for (uint32_t c = 0; c < channels; c++) y[(size_t)i * j->channels + c] = v[c];
    }
}

static void run_groups(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t groups = tody_div_up(j->channels, CHANNELS);
    for (uint32_t i = begin; i < end; i++) {
        const size_t picture = (size_t)(i / groups) * j->pixels * j->channels;
        const uint32_t first = i % groups * CHANNELS, channels = tody_min_u32(j->channels - first, CHANNELS);
        if (channels == CHANNELS) {
            normalise(j, picture, first, CHANNELS);
        } else {
            normalise(j, picture, first, channels);
        }
    }
}

typedef struct activate_job {
    const tody_kernels *kernels;
    const tody_activation *activation;
    float *y;
} activate_job;

static void run_activation(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const activate_job *j = context;
    j->kernels->unary_f32(j->activation->fn, j->activation->a, j->activation->b, j->y + begin, j->y + begin, end - begin);
}

static void instance_norm_run(const tody_call *call) {
    const tody_instance_norm_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const job job = {.x = x.data,
                     .scale = tody_in_f32(call, SCALE),
                     .bias = tody_in_f32(call, BIAS),
                     .y = y.data,
                     .pixels = x.shape[1] * x.shape[2],
                     .channels = x.shape[3],
                     .params = p};
    const uint32_t grain = TODY_GRAIN / 4 / CHANNELS / job.pixels + 1;
    tody_for_ranges(call, x.shape[0] * tody_div_up(job.channels, CHANNELS), grain, run_groups, &job);
    if (!tody_needs_unary(&p->activation)) return;
    const activate_job after = {call->kernels, &p->activation, y.data};
    tody_for_ranges(call, y.count, TODY_GRAIN, run_activation, &after);
}

const tody_op tody_op_instance_norm = {
    .name = "instance_norm",
    .code = TODY_OP_INSTANCE_NORM,
    .param_bytes = sizeof(tody_instance_norm_params),
    .min_inputs = 1,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .check = instance_norm_check,
    .run = instance_norm_run,
};
