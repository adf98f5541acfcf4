// conv.c - convolution of any kernel, stride, dilation and group: a matrix product over gathered pixels, without im2col.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "gemm.h"
#include "window.h"

enum { X = 0, W = 1, BIAS = 2, ADDEND = 3 };

typedef struct job {
    const tody_call *call;
    tody_gemm gemm;  // of group 0
    tody_slide slide;
} job;

static tody_status conv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    tody_status status = tody_check_window(&p->window, &x, &y);
    if (!status) status = tody_check_filters(call, p);
    if (!status) status = tody_check_addend(call, ADDEND, &y);
    if (status) return status;
    return tody_activation_ok(&p->activation) ? TODY_OK : TODY_ERR_PARAM;
}

static size_t pointer_bytes(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    return tody_gemm_scratch(call, w.shape[2], w.shape[3]);
}

// The pointers of all threads, then one pixel of zeros.
static size_t conv_scratch(const tody_call *call) {
    return tody_scratch_bytes((uint64_t)pointer_bytes(call) + (uint64_t)tody_in(call, W).shape[3] * sizeof(float));
}

static void gather(const void *slide, uint32_t first, uint32_t rows, const float **a) {
    tody_slide_gather(slide, first, rows, rows, 1, a);
}

// 1x1, stride 1, no padding: the output's pixels are the input's.
static void gather_same(const void *slide, uint32_t first, uint32_t rows, const float **a) {
    const tody_slide *s = slide;
    for (uint32_t i = 0; i < rows; i++) a[i] = s->x + (size_t)(first + i) * s->channels;
}

static bool same_pixels(const tody_window *w) {
    return tody_taps(w) == 1 && w->stride[0] == 1 && w->stride[1] == 1 && !(w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3]);
}

static tody_gemm group_zero(const tody_call *call, const tody_tensor *w, const tody_tensor *y) {
    const tody_conv_params *p = call->params;
    return (tody_gemm){
        .rows = tody_extent(y, TODY_BATCH, TODY_CHANNELS),
        .cols = w->shape[1],
        .taps = w->shape[2],
        .depth = w->shape[3],
        .gather = same_pixels(&p->window) ? gather_same : gather,
        .w = w->data,
        .w_stride = tody_panels_floats(1, w->shape[2], w->shape[3]),
        .bias = tody_in_f32(call, BIAS),
        .addend = tody_in_f32(call, ADDEND),
        .addend_stride = y->shape[TODY_CHANNELS],
        .c = y->data,
        .c_stride = y->shape[TODY_CHANNELS],
        .activation = p->activation,
        .pointers = (const float **)(void *)call->scratch,
    };
}

// Group g of the product; its rows are gathered from `slide`.
static tody_gemm group(const job *job, uint32_t g, tody_slide *slide) {
    tody_gemm gemm = job->gemm;
    *slide = job->slide;
    slide->x += (size_t)g * gemm.depth;
    gemm.source = slide;
    gemm.w += g * tody_panels_floats(gemm.cols, gemm.taps, gemm.depth);
    gemm.c += (size_t)g * gemm.cols;
    if (gemm.addend) gemm.addend += (size_t)g * gemm.cols;
    if (gemm.bias) gemm.bias += g * tody_panels_floats(gemm.cols, 1, 1);
    return gemm;
}

static void run_group(void *context, uint32_t g, uint32_t thread) {
    const job *job = context;
    tody_slide slide;
    const tody_gemm gemm = group(job, g, &slide);
    tody_gemm_here(job->call, &gemm, thread);
}

// Enough groups to keep all threads busy run side by side, fewer one after the other on all threads.
static void conv_run(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    float *zeros = (float *)(void *)(call->scratch + pointer_bytes(call));
    memset(zeros, 0, w.shape[3] * sizeof(float));
    job job = {call, group_zero(call, &w, &y), tody_slide_over(&x, &y, &p->window, zeros)};
    if (p->groups > 1 && p->groups >= tody_threads(call)) {
        tody_for(call, p->groups, run_group, &job);
        return;
    }
    for (uint32_t g = 0; g < p->groups; g++) {
        tody_slide slide;
        const tody_gemm gemm = group(&job, g, &slide);
        tody_gemm_run(call, &gemm);
    }
}

const tody_op tody_op_conv = {
    .name = "conv",
    .code = TODY_OP_CONV,
    .param_bytes = sizeof(tody_conv_params),
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = conv_check,
    .scratch = conv_scratch,
    .run = conv_run,
};
