// deconv.c - transposed convolution, one output line at a time.
// SPDX-License-Identifier: Apache-2.0
//
// Output pixels whose position has one remainder by the stride (a phase) take the same taps, from consecutive input pixels. So
// a line is `stride` interleaved matrix products per tap; the taps add up in the output itself. No multiplication is wasted on
// the zeros that the textbook puts between the input's pixels.
#include <string.h>

#include "gemm.h"
#include "window.h"

enum { X = 0, W = 1, BIAS = 2 };

typedef struct job {
    const tody_call *call;
    tody_gemm gemm;  // of group 0
    tody_slide slide;
} job;

// The input pixels that one tap brings to the pixels of a phase: from[0], from[1], ..; those outside the line are zero.
typedef struct run_of_pixels {
    const tody_slide *slide;
    const float *line;  // of the input; NULL: nothing but zeros
    int64_t from;
} run_of_pixels;

// Any output size is allowed up to where the last window ends: `pad` at the end and ONNX's output padding are in the size.
static bool size_ok(const tody_window *w, uint32_t d, uint32_t in, uint32_t out) {
    uint64_t full = (uint64_t)(in - 1) * w->stride[d] + (uint64_t)(w->kernel[d] - 1) * w->dilation[d] + 1;
    return (uint64_t)out + w->pad[d] <= full + tody_max_u32(w->stride[d], w->dilation[d]);
}

static tody_status deconv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    tody_status status = tody_check_images(&p->window, &x, &y);
    if (!status) status = tody_check_filters(call, p);
    if (status) return status;
    for (uint32_t d = 0; d < 2; d++) {
        if (!size_ok(&p->window, d, x.shape[TODY_HEIGHT + d], y.shape[TODY_HEIGHT + d])) return TODY_ERR_SHAPE;
    }
    return tody_activation_ok(&p->activation) ? TODY_OK : TODY_ERR_PARAM;
}

static size_t pointer_bytes(const tody_call *call) { return tody_gemm_scratch(call, 1, tody_in(call, W).shape[3]); }

// The pointers of all threads, then one pixel of zeros.
static size_t deconv_scratch(const tody_call *call) {
    return tody_scratch_bytes((uint64_t)pointer_bytes(call) + (uint64_t)tody_in(call, W).shape[3] * sizeof(float));
}

static void gather(const void *source, uint32_t first, uint32_t rows, const float **a) {
    const run_of_pixels *r = source;
    const tody_slide *s = r->slide;
    for (uint32_t i = 0; i < rows; i++) {
        const int64_t x = r->from + first + i;
        a[i] = r->line && x >= 0 && x < s->width ? r->line + (size_t)x * s->channels : s->outside;
    }
}

// Where tap k of dimension d takes output position `out` from; false where it takes nothing.
static bool tap_source(const tody_window *w, uint32_t d, uint32_t out, uint32_t k, int64_t *in) {
    const int64_t at = (int64_t)out + w->pad[d] - (int64_t)k * w->dilation[d];
    *in = at / w->stride[d];
    return at % w->stride[d] == 0;
}

// Compute what `gemm` says and let the next product add to it.
static void flush(const job *job, tody_gemm *gemm, uint32_t thread) {
    tody_gemm_here(job->call, gemm, thread);
    gemm->bias = NULL;
    gemm->addend = gemm->c;
    gemm->addend_stride = gemm->c_stride;
}

// One phase of a line: `gemm` has its rows, its place in the output and the activation for when all taps are in.
static void run_phase(const job *job, tody_gemm gemm, const tody_slide *slide, uint32_t line, uint32_t phase, uint32_t thread) {
    const tody_window *window = &slide->window;
    const tody_activation activation = gemm.activation;
    const float *w = gemm.w,
                *image = slide->x + (size_t)(line / slide->out_height) * slide->height * slide->width * slide->channels;
    run_of_pixels source = {.slide = slide};
    gemm.source = &source;
    gemm.activation = (tody_activation){0};
    for (uint32_t tap = 0; tap < tody_taps(window); tap++) {
        int64_t y, from;
        if (!tap_source(window, 0, line % slide->out_height, tap / window->kernel[1], &y) || y < 0 || y >= slide->height)
            continue;
        if (!tap_source(window, 1, phase, tap % window->kernel[1], &from)) continue;
        if (source.line) flush(job, &gemm, thread);
        source.line = image + (size_t)y * slide->width * slide->channels;
        source.from = from;
        gemm.w = w + (size_t)tap * gemm.depth * TODY_PANEL;
    }
    gemm.activation = activation;  // comes with the last tap, or with the bias where there is none
    tody_gemm_here(job->call, &gemm, thread);
}

static void run_line(void *context, uint32_t line, uint32_t thread) {
    const job *job = context;
    const tody_conv_params *p = job->call->params;
    const uint32_t stride = p->window.stride[1];
    for (uint32_t g = 0; g < p->groups; g++) {
        tody_gemm gemm = job->gemm;
        tody_slide slide = job->slide;
        slide.x += (size_t)g * gemm.depth;
        gemm.w += g * tody_panels_floats(gemm.cols, tody_taps(&p->window), gemm.depth);
        if (gemm.bias) gemm.bias += g * tody_panels_floats(gemm.cols, 1, 1);
        gemm.c += ((size_t)line * slide.out_width * p->groups + g) * gemm.cols;
        for (uint32_t phase = 0; phase < tody_min_u32(stride, slide.out_width); phase++) {
            gemm.rows = tody_div_up(slide.out_width - phase, stride);
            run_phase(job, gemm, &slide, line, phase, thread);
            gemm.c += (size_t)p->groups * gemm.cols;
        }
    }
}

static void deconv_run(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    float *zeros = (float *)(void *)(call->scratch + pointer_bytes(call));
    memset(zeros, 0, w.shape[3] * sizeof(float));
    job job = {
        .call = call,
        .slide = tody_slide_over(&x, &y, &p->window, zeros),
        .gemm = {.cols = w.shape[1],
                 .taps = 1,
                 .depth = w.shape[3],
                 .gather = gather,
                 .w = w.data,
                 .w_stride = tody_panels_floats(1, w.shape[2], w.shape[3]),
                 .bias = tody_in_f32(call, BIAS),
                 .c = y.data,
                 .c_stride = (size_t)y.shape[TODY_CHANNELS] * p->window.stride[1],
                 .activation = p->activation,
                 .pointers = (const float **)(void *)call->scratch},
    };
    tody_for(call, tody_extent(&y, TODY_BATCH, TODY_WIDTH), run_line, &job);
}

const tody_op tody_op_deconv = {
    .name = "deconv",
    .code = TODY_OP_DECONV,
    .param_bytes = sizeof(tody_conv_params),
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = deconv_check,
    .scratch = deconv_scratch,
    .run = deconv_run,
};
