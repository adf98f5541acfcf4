// dwconv.c - depthwise convolution: every channel has its own filter.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "window.h"

enum { X = 0, W = 1, BIAS = 2, ADDEND = 3 };
enum {
    BLOCK_PIXELS = 32,      // per kernel call: their pointers and results stay in the first-level cache
    BLOCK_POINTERS = 1024,  // at most, for large filters
};

typedef struct job {
    const tody_call *call;
    tody_slide slide;
    tody_dwconv_f32 args;
    tody_activation activation;
    uint32_t pixels, block;
} job;

static tody_status check_weights(const tody_call *call, const tody_conv_params *p, uint32_t channels) {
    const tody_tensor w = tody_in(call, W);
    if (!tody_plain_f32(&w)) return TODY_ERR_DTYPE;
    const uint32_t shape[2] = {tody_taps(&p->window), channels};
    if (p->groups != channels || !tody_has_shape(&w, 2, shape)) return TODY_ERR_SHAPE;
    if (!tody_has_in(call, BIAS)) return TODY_OK;
    const tody_tensor bias = tody_in(call, BIAS);
    if (!tody_plain_f32(&bias)) return TODY_ERR_DTYPE;
    return tody_has_shape(&bias, 1, &channels) ? TODY_OK : TODY_ERR_SHAPE;
}

static tody_status dwconv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    tody_status status = tody_check_window(&p->window, &x, &y);
    if (!status && x.shape[TODY_CHANNELS] != y.shape[TODY_CHANNELS]) status = TODY_ERR_SHAPE;
    if (!status) status = check_weights(call, p, x.shape[TODY_CHANNELS]);
    if (!status) status = tody_check_addend(call, ADDEND, &y);
    if (status) return status;
    return tody_activation_ok(&p->activation) ? TODY_OK : TODY_ERR_PARAM;
}

static uint32_t block_pixels(uint32_t taps) { return tody_max_u32(tody_min_u32(BLOCK_POINTERS / taps, BLOCK_PIXELS), 1); }

static size_t pointers_per_thread(uint32_t taps) {
    return tody_scratch_bytes((uint64_t)taps * block_pixels(taps) * sizeof(const float *)) / sizeof(const float *);
}

static size_t pointer_bytes(const tody_call *call) {
    const uint32_t taps = tody_in(call, W).shape[0];
    return tody_scratch_bytes((uint64_t)pointers_per_thread(taps) * sizeof(const float *) * tody_threads(call));
}

// The pointers of all threads, then one pixel of zeros.
static size_t dwconv_scratch(const tody_call *call) {
    return tody_scratch_bytes((uint64_t)pointer_bytes(call) + (uint64_t)tody_in(call, X).shape[TODY_CHANNELS] * sizeof(float));
}

static void run_block(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_activation *f = &job->activation;
    const uint32_t first = task * job->block;
    tody_dwconv_f32 args = job->args;
    args.pixels = tody_min_u32(job->pixels - first, job->block);
    const float **a = (const float **)(void *)job->call->scratch + thread * pointers_per_thread(args.taps);
    tody_slide_gather(&job->slide, first, args.pixels, 1, args.taps, a);
    args.a = a;
    args.c += (size_t)first * args.c_stride;
    if (args.addend) args.addend += (size_t)first * args.addend_stride;
    job->call->kernels->dwconv_f32(&args);
    if (tody_needs_unary(f))
        job->call->kernels->unary_f32(f->fn, f->a, f->b, args.c, args.c, (size_t)args.pixels * args.channels);
}

static void dwconv_run(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    const uint32_t channels = x.shape[TODY_CHANNELS], taps = w.shape[0];
    float *zeros = (float *)(void *)(call->scratch + pointer_bytes(call));
    memset(zeros, 0, channels * sizeof(float));
    job job = {
        .call = call,
        .slide = tody_slide_over(&x, &y, &p->window, zeros),
        .args = {.channels = channels,
                 .taps = taps,
                 .w = w.data,
                 .bias = tody_in_f32(call, BIAS),
                 .addend = tody_in_f32(call, ADDEND),
                 .addend_stride = channels,
                 .c = y.data,
                 .c_stride = channels,
                 .lo = tody_low(&p->activation),
                 .hi = tody_high(&p->activation)},
        .activation = p->activation,
        .pixels = tody_extent(&y, TODY_BATCH, TODY_CHANNELS),
        .block = block_pixels(taps),
    };
    tody_for(call, tody_div_up(job.pixels, job.block), run_block, &job);
}

const tody_op tody_op_dwconv = {
    .name = "dwconv",
    .code = TODY_OP_DWCONV,
    .param_bytes = sizeof(tody_conv_params),
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = dwconv_check,
    .scratch = dwconv_scratch,
    .run = dwconv_run,
};
