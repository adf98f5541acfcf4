// dwconv.c - depthwise convolution: every channel has its own filter.
// SPDX-License-Identifier: Apache-2.0
#include "layer.h"
#include "window.h"

enum { X = 0, W = 1 };
enum {
    BLOCK_PIXELS = 32,      // per kernel call: their pointers and results stay in the first-level cache
    BLOCK_POINTERS = 1024,  // at most, for large filters
};

typedef struct job {
    const tody_call *call;
    tody_slide slide;
    tody_dwconv_f32 f32;  // one of the two, by the dtype
    tody_dwconv_s8 s8;
    tody_activation activation;
    uint32_t block, parts;  // pixels of a kernel call, all in one line; such parts of a line
} job;

// Pixels from `first` on.
typedef struct part {
    uint32_t first, pixels;
} part;

static tody_status dwconv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    tody_status status = tody_check_window(&p->window, &x, &y);
    if (status) return status;
    if (!tody_is_weights(&w, x.dtype, TODY_PLAIN)) return TODY_ERR_DTYPE;
    const uint32_t channels = x.shape[TODY_CHANNELS], shape[2] = {tody_taps(&p->window), channels};
    if (y.shape[TODY_CHANNELS] != channels || p->groups != channels || !tody_has_shape(&w, 2, shape)) return TODY_ERR_SHAPE;
    return tody_check_layer(call, 1, &p->activation);
}

static uint32_t block_pixels(uint32_t taps) { return tody_max_u32(tody_min_u32(BLOCK_POINTERS / taps, BLOCK_PIXELS), 1); }

static size_t thread_bytes(uint32_t taps, size_t pointer_bytes) {
    return tody_scratch_bytes((uint64_t)taps * block_pixels(taps) * pointer_bytes);
}

static size_t pointer_bytes(const tody_call *call) {
    const uint32_t taps = tody_in(call, W).shape[0];
    return tody_scratch_bytes((uint64_t)thread_bytes(taps, call->pointer_bytes) * tody_threads(call));
}

// The pointers of all threads, then one pixel of zeros.
static size_t dwconv_scratch(const tody_call *call) {
    const tody_tensor x = tody_in(call, X);
    return tody_scratch_bytes((uint64_t)pointer_bytes(call) + (uint64_t)x.shape[TODY_CHANNELS] * tody_dtype_bytes(x.dtype));
}

static part part_of(const job *job, uint32_t task) {
    const uint32_t width = job->slide.out_width, begin = task % job->parts * job->block;
    return (part){task / job->parts * width + begin, tody_min_u32(width - begin, job->block)};
}

// Pointers to the columns under the windows of a part.
static const void **gather(const job *job, part part, uint32_t thread) {
    const size_t bytes = thread_bytes(tody_taps(&job->slide.window), sizeof(const void *));
    const void **a = (const void **)(void *)(job->call->scratch + thread * bytes);
    tody_slide_columns(&job->slide, part.first, part.pixels, a);
    return a;
}

static void run_f32(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_activation *f = &job->activation;
    const part part = part_of(job, task);
    tody_dwconv_f32 args = job->f32;
    args.pixels = part.pixels;
    args.a = (const float *const *)gather(job, part, thread);
    args.c += (size_t)part.first * args.c_stride;
    if (args.addend) args.addend += (size_t)part.first * args.addend_stride;
    job->call->kernels->dwconv_f32(&args);
    if (tody_needs_unary(f))
        job->call->kernels->unary_f32(f->fn, f->a, f->b, args.c, args.c, (size_t)args.pixels * args.channels);
}

static void run_s8(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const part part = part_of(job, task);
    tody_dwconv_s8 args = job->s8;
    args.pixels = part.pixels;
    args.a = (const int8_t *const *)gather(job, part, thread);
    args.c += (size_t)part.first * args.c_stride;
    if (args.addend) args.addend += (size_t)part.first * args.addend_stride;
    job->call->kernels->dwconv_s8(&args);
}

static tody_dwconv_f32 make_f32(const tody_call *call, uint32_t channels) {
    const tody_conv_params *p = call->params;
    return (tody_dwconv_f32){.channels = channels,
                             .height = p->window.kernel[0],
                             .width = p->window.kernel[1],
                             .step = tody_slide_step(&p->window),
                             .w = tody_in(call, W).data,
                             .bias = tody_in_data(call, TODY_LAYER_BIAS),
                             .addend = tody_in_data(call, TODY_LAYER_ADDEND),
                             .addend_stride = channels,
                             .c = tody_out(call, 0).data,
                             .c_stride = channels,
                             .lo = tody_low(&p->activation),
                             .hi = tody_high(&p->activation)};
}

static tody_dwconv_s8 make_s8(const tody_call *call, uint32_t channels) {
    const tody_conv_params *p = call->params;
    return (tody_dwconv_s8){.channels = channels,
                            .height = p->window.kernel[0],
                            .width = p->window.kernel[1],
                            .step = tody_slide_step(&p->window),
                            .w = tody_in(call, W).data,
                            .bias = tody_in_data(call, TODY_LAYER_BIAS),
                            .scale = tody_layer_scale(call, 1),
                            .addend = tody_in_data(call, TODY_LAYER_ADDEND),
                            .addend_stride = channels,
                            .c = tody_out(call, 0).data,
                            .c_stride = channels,
                            .layer = tody_layer_of(call, 1, &p->activation)};
}

static void dwconv_run(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const uint32_t channels = x.shape[TODY_CHANNELS];
    void *zeros = call->scratch + pointer_bytes(call);
    tody_fill_zero(&x, zeros, channels);
    job job = {
        .call = call,
        .slide = tody_slide_over(&x, &y, &p->window, zeros),
        .activation = p->activation,
        .block = block_pixels(tody_taps(&p->window)),
    };
    job.parts = tody_div_up(y.shape[TODY_WIDTH], job.block);
    if (x.dtype == TODY_S8) {
        job.s8 = make_s8(call, channels);
    } else {
        job.f32 = make_f32(call, channels);
    }
    tody_for(call, y.shape[TODY_BATCH] * y.shape[TODY_HEIGHT] * job.parts, x.dtype == TODY_S8 ? run_s8 : run_f32, &job);
}

const tody_op tody_op_dwconv = {
    .name = "dwconv",
    .code = TODY_OP_DWCONV,
    .param_bytes = sizeof(tody_conv_params),
    .min_inputs = 2,
    .max_inputs = 6,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = dwconv_check,
    .scratch = dwconv_scratch,
    .run = dwconv_run,
};
