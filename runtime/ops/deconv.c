// deconv.c - transposed convolution, one output line at a time.
// SPDX-License-Identifier: Apache-2.0
//
// Output pixels whose position has one remainder by the stride (a phase) take the same taps, from consecutive input pixels. So
// a line is `stride` interleaved matrix products, each over the taps of its phase, and no multiplication is wasted on the zeros
// that the textbook puts between the input's pixels. The taps of a phase must lie side by side in the panels: where they do not
// (windows larger than their stride), the panels are put into that order first.
#include <string.h>

#include "gemm.h"
#include "layer.h"
#include "window.h"

enum { X = 0, W = 1 };

typedef struct job {
    const tody_call *call;
    tody_gemm gemm;  // of group 0
    tody_slide slide;
    uint8_t *sorted;  // panels in the order of phases
} job;

// Taps of one dimension: how many belong to phases before this one, and how many to it.
typedef struct share {
    uint32_t before, inside;
} share;

// One phase of a line: pixels `column`, `column` + stride, .. of the output.
typedef struct phase {
    const tody_slide *slide;
    uint32_t line, column;
    uint32_t taps;  // 0: nothing but the bias
} phase;

// Any output size is allowed up to where the last window ends: `pad` at the end and ONNX's output padding are in the size.
static bool size_ok(const tody_window *w, uint32_t d, uint32_t in, uint32_t out) {
    uint64_t full = (uint64_t)(in - 1) * w->stride[d] + (uint64_t)(w->kernel[d] - 1) * w->dilation[d] + 1;
    return (uint64_t)out + w->pad[d] <= full + tody_max_u32(w->stride[d], w->dilation[d]);
}

static tody_status deconv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    tody_status status = tody_check_images(&p->window, &x, &y);
    if (!status) status = tody_check_filters(call, p, 0);
    if (!status && tody_in(call, W).pack != TODY_PANELS) status = TODY_ERR_DTYPE;
    if (status) return status;
    for (uint32_t d = 0; d < 2; d++) {
        if (!size_ok(&p->window, d, x.shape[TODY_HEIGHT + d], y.shape[TODY_HEIGHT + d])) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

// The phase that tap k of dimension d belongs to: it meets output positions with this remainder, counted from the padded edge.
static uint32_t phase_of(const tody_window *w, uint32_t d, uint32_t k) {
    return (uint32_t)((uint64_t)k * w->dilation[d] % w->stride[d]);
}

static share share_of(const tody_window *w, uint32_t d, uint32_t wanted) {
    share s = {0, 0};
    for (uint32_t k = 0; k < w->kernel[d]; k++) {
        const uint32_t of_tap = phase_of(w, d, k);
        s.before += of_tap < wanted;
        s.inside += of_tap == wanted;
    }
    return s;
}

// Where the taps of a phase begin in the order of phases: rows first.
static uint32_t first_tap(const tody_window *w, share rows, share columns) {
    return rows.before * w->kernel[1] + rows.inside * columns.before;
}

// Where tap t stands in the order of phases; inside of a phase the order stays.
static uint32_t place_of(const tody_window *w, uint32_t t) {
    const uint32_t ky = t / w->kernel[1], kx = t % w->kernel[1];
    const uint32_t row = phase_of(w, 0, ky), column = phase_of(w, 1, kx);
    const share rows = share_of(w, 0, row), columns = share_of(w, 1, column);
    uint32_t above = 0, left = 0;
    for (uint32_t k = 0; k < ky; k++) above += phase_of(w, 0, k) == row;
    for (uint32_t k = 0; k < kx; k++) left += phase_of(w, 1, k) == column;
    return first_tap(w, rows, columns) + above * columns.inside + left;
}

// Whether the order of phases is that of the taps.
static bool in_order(const tody_window *w) {
    for (uint32_t t = 1; t < tody_taps(w); t++) {
        const uint32_t row = phase_of(w, 0, t / w->kernel[1]), last_row = phase_of(w, 0, (t - 1) / w->kernel[1]);
        const uint32_t column = phase_of(w, 1, t % w->kernel[1]), last_column = phase_of(w, 1, (t - 1) % w->kernel[1]);
        if (row < last_row || (row == last_row && column < last_column)) return false;
    }
    return true;
}

static size_t pointer_bytes(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    return tody_gemm_scratch(call, w.dtype, w.shape[2], w.shape[3]);
}

static size_t pixel_bytes(const tody_tensor *w) {
    return tody_scratch_bytes((uint64_t)w->shape[3] * tody_dtype_bytes(w->dtype));
}

// The pointers of all threads, then one pixel of zeros, what is widened, and the panels, where they must be put into order.
static size_t deconv_scratch(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor w = tody_in(call, W);
    const uint64_t panels = (uint64_t)w.shape[0] * tody_panels_bytes(w.dtype, w.shape[1], w.shape[2], w.shape[3]);
    return tody_scratch_bytes((uint64_t)pointer_bytes(call) + pixel_bytes(&w) + tody_channels_room(call, 0) +
                              (in_order(&p->window) ? 0 : panels));
}

// Put tap t of every panel into its place.
static void sort_tap(void *context, uint32_t t, uint32_t thread) {
    (void)thread;
    const job *job = context;
    const tody_tensor w = tody_in(job->call, W);
    const size_t tap_bytes = tody_panel_bytes(w.dtype, 1, w.shape[3]);
    const size_t panels = tody_panels_length(w.shape[1]) / TODY_PANEL * w.shape[0], to = place_of(&job->slide.window, t);
    const uint8_t *from = (const uint8_t *)w.data + t * tap_bytes;
    for (size_t panel = 0; panel < panels; panel++) {
        const size_t at = panel * w.shape[2] * tap_bytes;
        memcpy(job->sorted + at + to * tap_bytes, from + at, tap_bytes);
    }
}

// Pointers for one tap: input pixels from[0], from[1], ..; those outside of the line are zero.
static void gather_tap(const tody_slide *s, const uint8_t *line, int64_t from, uint32_t rows, const void **a) {
    for (uint32_t i = 0; i < rows; i++) {
        const int64_t x = from + i;
        a[i] = line && x >= 0 && x < s->width ? line + (size_t)x * s->pixel_bytes : s->outside;
    }
}

// Where tap k takes output position `at`, counted from the padded edge, from. Of its own phase, so that it divides.
static int64_t source(const tody_window *w, uint32_t d, uint32_t at, uint32_t k) {
    return ((int64_t)at - (int64_t)k * w->dilation[d]) / w->stride[d];
}

static void gather(const void *context, uint32_t first, uint32_t rows, const void **a) {
    const phase *p = context;
    const tody_slide *s = p->slide;
    const tody_window *w = &s->window;
    if (p->taps == 0) gather_tap(s, NULL, 0, rows, a);
    const uint32_t y = p->line % s->out_height + w->pad[0], x = p->column + w->pad[1];
    const uint8_t *image = s->x + (size_t)(p->line / s->out_height) * s->height * s->width * s->pixel_bytes;
    for (uint32_t ky = 0; p->taps && ky < w->kernel[0]; ky++) {
        if (phase_of(w, 0, ky) != y % w->stride[0]) continue;
        const int64_t from = source(w, 0, y, ky);
        if (from < 0 || from >= s->height) continue;
        const uint8_t *line = image + (size_t)from * s->width * s->pixel_bytes;
        for (uint32_t kx = 0; kx < w->kernel[1]; kx++) {
            if (phase_of(w, 1, kx) != x % w->stride[1]) continue;
            gather_tap(s, line, source(w, 1, x, kx) + first, rows, a);
            a += rows;
        }
    }
}

// Lines of taps that output line y, counted from the padded edge, takes from inside of the image, and those of its phase that
// come before them: the farther down a tap, the higher up its line.
static share lines_of(const tody_slide *s, uint32_t y) {
    share lines = {0, 0};
    for (uint32_t ky = 0; ky < s->window.kernel[0]; ky++) {
        if (phase_of(&s->window, 0, ky) != y % s->window.stride[0]) continue;
        const int64_t from = source(&s->window, 0, y, ky);
        lines.before += from >= s->height;
        lines.inside += from >= 0 && from < s->height;
    }
    return lines;
}

// `gemm` has the place of the phase's first pixel in the output.
static void run_phase(const job *job, tody_gemm gemm, const tody_slide *slide, uint32_t line, uint32_t column,
                      uint32_t thread) {
    const tody_window *w = &slide->window;
    const uint32_t stride = w->stride[1];
    const uint32_t y = line % slide->out_height + w->pad[0];
    const share rows = share_of(w, 0, y % w->stride[0]), columns = share_of(w, 1, (column + w->pad[1]) % stride);
    const share lines = lines_of(slide, y);
    const phase phase = {slide, line, column, lines.inside * columns.inside};
    gemm.source = &phase;
    gemm.rows = tody_div_up(slide->out_width - column, stride);
    gemm.taps = tody_max_u32(phase.taps, 1);
    if (phase.taps) {
        const uint32_t tap = first_tap(w, rows, columns) + lines.before * columns.inside;
        gemm.w = (const uint8_t *)gemm.w + tap * tody_panel_bytes(gemm.dtype, 1, gemm.depth);
    }
    // Products of other threads have other numbers of taps: each thread gets its part of the pointers here.
    gemm.pointers = (const void **)(void *)(job->call->scratch + thread * (pointer_bytes(job->call) / tody_threads(job->call)));
    tody_gemm_here(job->call, &gemm, 0);
}

static void run_line(void *context, uint32_t line, uint32_t thread) {
    const job *job = context;
    const tody_conv_params *p = job->call->params;
    const uint32_t stride = p->window.stride[1];
    const size_t bytes = tody_dtype_bytes(job->gemm.dtype);
    for (uint32_t g = 0; g < p->groups; g++) {
        tody_slide slide = job->slide;
        slide.x += (size_t)g * job->gemm.depth * bytes;
        tody_gemm gemm = tody_gemm_group(&job->gemm, g, tody_taps(&p->window));
        gemm.c = (uint8_t *)gemm.c + (size_t)line * slide.out_width * p->groups * gemm.cols * bytes;
        for (uint32_t column = 0; column < tody_min_u32(stride, slide.out_width); column++) {
            run_phase(job, gemm, &slide, line, column, thread);
            gemm.c = (uint8_t *)gemm.c + (size_t)p->groups * gemm.cols * bytes;
        }
    }
}

static void deconv_run(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    uint8_t *zeros = call->scratch + pointer_bytes(call), *sorted = zeros + pixel_bytes(&w);
    const tody_channels channels = tody_channels_of(call, 0, &sorted);
    tody_fill_zero(&x, zeros, w.shape[3]);
    job job = {
        .call = call,
        .slide = tody_slide_over(&x, &y, &p->window, zeros),
        .gemm = {.dtype = x.dtype,
                 .cols = w.shape[1],
                 .depth = w.shape[3],
                 .gather = gather,
                 .w = w.data,
                 .w_stride_bytes = tody_panel_bytes(w.dtype, w.shape[2], w.shape[3]),
                 .bias = channels.bias,
                 .c = y.data,
                 .c_stride = (size_t)y.shape[TODY_CHANNELS] * p->window.stride[1],
                 .activation = p->activation,
                 .scale = channels.scale,
                 .scale_stride = TODY_PANEL,
                 .layer = tody_layer_of(call, 0, &p->activation)},
        .sorted = sorted,
    };
    if (!in_order(&p->window)) {
        tody_for(call, tody_taps(&p->window), sort_tap, &job);
        job.gemm.w = job.sorted;
    }
    tody_for(call, tody_extent(&y, TODY_BATCH, TODY_WIDTH), run_line, &job);
}

const tody_op tody_op_deconv = {
    .name = "deconv",
    .code = TODY_OP_DECONV,
    .param_bytes = sizeof(tody_conv_params),
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 2,
    .check = deconv_check,
    .scratch = deconv_scratch,
    .run = deconv_run,
};
