// instance_norm.c - every channel of every picture with mean 0 and variance 1.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"
#include "nest.h"
#include "shape.h"

enum { X = 0, SCALE = 1, BIAS = 2 };
enum {
    PARTS = 4,      // of a picture, whose moments are taken by themselves
    CHANNELS = 64,  // of a block; its values stay in the first-level cache while they are read twice
    BLOCK = 64,     // pixels of it, whose sums are kept in float32
};

// Mean of some values of a channel, and the sum of the squares of their differences from it.
typedef struct spread {
    double mean, squares;
} spread;

typedef struct job {
    const tody_kernels *kernels;
    const float *x, *scale, *bias;
    float *y;
    uint32_t pixels, channels;
    uint32_t part, parts;  // pixels of a part, the last one may have fewer; such parts of a picture
    const tody_instance_norm_params *params;
    spread *spreads;  // [parts][channels] of the picture at hand
    float *mean, *factor, *shift;
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

static size_t spread_bytes(uint32_t channels) { return tody_scratch_bytes((uint64_t)PARTS * channels * sizeof(spread)); }

// Spreads, then mean, factor and shift of the channels of a picture.
static size_t instance_norm_scratch(const tody_call *call) {
    const uint32_t channels = tody_in(call, X).shape[3];
    return tody_scratch_bytes((uint64_t)spread_bytes(channels) + 3 * (uint64_t)channels * sizeof(float));
}

static uint32_t part_pixels(const job *j, uint32_t part) { return tody_min_u32(j->pixels - part * j->part, j->part); }

// Add a block of values to `before` others. Chan, Golub, LeVeque: Algorithms for computing the sample variance, 1983.
static void join(spread *s, double before, double count, const float *mean, const float *rest, const float *squares,
                 uint32_t channels) {
    const double share = count / (before + count), weight = before * share;
    for (uint32_t k = 0; k < channels; k++) {
        const double left = (double)rest[k] / count, from = (double)mean[k] + left - s[k].mean;
        s[k].mean += from * share;
        s[k].squares += (double)squares[k] - (double)rest[k] * left + from * from * weight;
    }
}

// The spread of `pixels` values of some channels. A block's mean is only near, for its squares to be small; what it is beside
// the true one comes out with them.
static void measure(const job *j, const float *x, uint32_t pixels, uint32_t channels, spread *s) {
    float mean[CHANNELS], rest[CHANNELS], squares[CHANNELS];
    for (uint32_t k = 0; k < channels; k++) s[k] = (spread){0.0, 0.0};
    for (uint32_t at = 0; at < pixels; at += BLOCK) {
        const uint32_t rows = tody_min_u32(pixels - at, BLOCK);
        tody_columns_f32 c = {rows, channels, x + (size_t)at * j->channels, j->channels, NULL, mean, squares};
        j->kernels->column_moments_f32(&c);
        for (uint32_t k = 0; k < channels; k++) mean[k] /= (float)rows;
        c.mean = mean;
        c.sum = rest;
        j->kernels->column_moments_f32(&c);
        join(s, (double)at, (double)rows, mean, rest, squares, channels);
    }
}

static void run_part(void *context, uint32_t task, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const float *x = j->x + (size_t)task * j->part * j->channels;
    for (uint32_t k = 0; k < j->channels; k += CHANNELS) {
        const uint32_t channels = tody_min_u32(j->channels - k, CHANNELS);
        measure(j, x + k, part_pixels(j, task), channels, j->spreads + (size_t)task * j->channels + k);
    }
}

// Mean and variance of channel k from its parts.
static spread whole_spread(const job *j, uint32_t k) {
    const spread *s = j->spreads + k;
    spread all = {0.0, 0.0};
    for (uint32_t p = 0; p < j->parts; p++) all.mean += s[(size_t)p * j->channels].mean * part_pixels(j, p);
    all.mean /= j->pixels;
    for (uint32_t p = 0; p < j->parts; p++) {
        const spread part = s[(size_t)p * j->channels];
        all.squares += part.squares + (part.mean - all.mean) * (part.mean - all.mean) * part_pixels(j, p);
    }
    all.squares /= j->pixels;
    return all;
}

static void settle(const job *j) {
    for (uint32_t k = 0; k < j->channels; k++) {
        const spread s = whole_spread(j, k);
        j->mean[k] = (float)s.mean;
        j->factor[k] = (j->scale ? j->scale[k] : 1.0f) / __builtin_sqrtf((float)s.squares + j->params->epsilon);
        j->shift[k] = (j->bias ? j->bias[k] : 0.0f) - (float)(s.mean - (double)j->mean[k]) * j->factor[k];
    }
}

static void run_pixels(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const tody_activation *f = &j->params->activation;
    const size_t at = (size_t)begin * j->channels;
    const tody_norm_f32 n = {.rows = end - begin,
                             .channels = j->channels,
                             .x = j->x + at,
                             .y = j->y + at,
                             .stride = j->channels,
                             .mean = j->mean,
                             .factor = j->factor,
                             .step = 1,
                             .bias = j->shift,
                             .lo = tody_low(f),
                             .hi = tody_high(f)};
    j->kernels->norm_f32(&n);
    if (tody_needs_unary(f)) j->kernels->unary_f32(f->fn, f->a, f->b, n.y, n.y, (size_t)n.rows * n.channels);
}

static void instance_norm_run(const tody_call *call) {
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const uint32_t channels = x.shape[3];
    float *of_channels = (float *)(void *)(call->scratch + spread_bytes(channels));
    job job = {.kernels = call->kernels,
               .x = x.data,
               .scale = tody_in_f32(call, SCALE),
               .bias = tody_in_f32(call, BIAS),
               .y = y.data,
               .pixels = x.shape[1] * x.shape[2],
               .channels = channels,
               .params = call->params,
               .spreads = (spread *)(void *)call->scratch,
               .mean = of_channels,
               .factor = of_channels + channels,
               .shift = of_channels + 2 * (size_t)channels};
    job.part = tody_div_up(job.pixels, PARTS);
    job.parts = tody_div_up(job.pixels, job.part);
    for (uint32_t i = 0; i < x.shape[0]; i++) {
        tody_for(call, job.parts, run_part, &job);
        settle(&job);
        tody_for_ranges(call, job.pixels, TODY_GRAIN / channels + 1, run_pixels, &job);
        job.x += (size_t)job.pixels * channels;
        job.y += (size_t)job.pixels * channels;
    }
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
    .scratch = instance_norm_scratch,
    .run = instance_norm_run,
};
