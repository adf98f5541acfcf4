// dwconv.c - depthwise convolution: every channel has its own filter.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "layer.h"
#include "window.h"

enum { X = 0, W = 1 };
enum {
    BLOCK_ROWS = 8,        // per kernel call: their pointers and, of a few channels, their values stay in the first-level cache
    BLOCK_PIXELS = 32,     // of a row
    BLOCK_POINTERS = 512,  // at most, unless the filter is larger
    ROWS_POINTERS = 160,   // the same of rows of int8 at a time: chips have little memory
    PART_CHANNELS = 64,    // a multiple of it; if a layer has too few pixels for all threads
    TASKS_PER_THREAD = 4,
};

// How a layer is cut: each part is one call of the kernel.
typedef struct cut {
    uint32_t rows, pixels, channels;  // of a part, the last ones may be smaller
    uint32_t row_parts, pixel_parts, channel_parts;
    uint32_t columns;   // of the grid of pointers
    uint64_t pointers;  // of a thread
    size_t work_bytes;  // of a thread: what the kernel of int8 works with
} cut;

typedef struct job {
    const tody_call *call;
    tody_slide slide;
    union {  // by the dtype
        tody_dwconv_f32 f32;
        tody_dwconv_s8 s8;
        tody_dwconv_s16 s16;
    };
    tody_task run;  // by it, too
    tody_activation activation;
    cut cut;
} job;

// Rows, counted through the batch, pixels and channels from these on.
typedef struct part {
    uint32_t row, rows, pixel, pixels, channel, channels;
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

// Pixels of a row in a part of float32: whole strips, so that none but the last of a row is computed in vain.
static uint32_t part_pixels(const tody_window *w, uint32_t strip) {
    uint32_t pixels = tody_max_u32(BLOCK_PIXELS / strip, 1) * strip;
    while (pixels > strip && (uint64_t)w->kernel[0] * tody_grid_span(w, 1, pixels) > BLOCK_POINTERS) pixels -= strip;
    return pixels;
}

// How many rows of int8 there is room for, whatever the kernels, so that all chips need the same memory.
static uint32_t rows_s8(const tody_window *w, uint32_t columns) {
    const bool small = w->kernel[0] == 3 && w->kernel[1] == 3 && tody_grid_step(w, 0) < 3 && tody_slide_step(w) < 3;
    uint32_t rows = 1;
    while (small && rows < TODY_MAX_DWCONV_ROWS && tody_grid_span(w, 0, rows + 1) * columns <= ROWS_POINTERS) rows++;
    return rows;
}

// Integers have only whole pixels.
static cut cut_layer(const tody_call *call) {
    const tody_window *w = &((const tody_conv_params *)call->params)->window;
    const tody_tensor y = tody_out(call, 0);
    const uint32_t height = y.shape[TODY_HEIGHT], channels = y.shape[TODY_CHANNELS], strip = call->kernels->dwconv_f32_strip;
    cut c = {.rows = 1, .pixels = tody_max_u32(tody_min_u32(BLOCK_POINTERS / tody_taps(w), BLOCK_PIXELS), 1)};
    if (tody_is_f32(y.dtype)) c.pixels = part_pixels(w, strip);
    c.pixels = tody_min_u32(c.pixels, y.shape[TODY_WIDTH]);
    c.columns = tody_grid_span(w, 1, tody_div_up(c.pixels, strip) * strip);
    if (tody_is_f32(y.dtype)) {
        while (c.rows < BLOCK_ROWS && tody_grid_span(w, 0, c.rows + 1) <= BLOCK_POINTERS / c.columns) c.rows++;
    }
    if (y.dtype == TODY_S8 && c.pixels == y.shape[TODY_WIDTH]) c.rows = rows_s8(w, c.columns);
    c.pointers = (uint64_t)tody_grid_span(w, 0, tody_min_u32(c.rows, height)) * c.columns;  // no fewer for a higher image
    if (y.dtype == TODY_S8) c.rows = tody_min_u32(c.rows, tody_max_u32(call->kernels->dwconv_s8_rows, 1));
    if (y.dtype == TODY_S8) c.work_bytes = tody_scratch_bytes(tody_dwconv_work(tody_taps(w)));
    c.row_parts = tody_div_up(height, c.rows);
    c.rows = tody_div_up(height, c.row_parts);
    c.pixel_parts = tody_div_up(y.shape[TODY_WIDTH], c.pixels);
    const uint32_t parts = y.shape[TODY_BATCH] * c.row_parts * c.pixel_parts, wanted = tody_threads(call) * TASKS_PER_THREAD;
    const bool enough = !tody_is_f32(y.dtype) || tody_threads(call) == 1 || parts >= wanted;
    c.channels = enough ? channels : tody_div_up(tody_div_up(channels, wanted / parts), PART_CHANNELS) * PART_CHANNELS;
    c.channel_parts = tody_div_up(channels, c.channels);
    return c;
}

// Where a thread's pointers end and its work begins.
static size_t pointers_bytes(const cut *c, size_t pointer_bytes) { return tody_scratch_bytes(c->pointers * pointer_bytes); }

static size_t thread_bytes(const cut *c, size_t pointer_bytes) {
    return tody_scratch_bytes((uint64_t)pointers_bytes(c, pointer_bytes) + c->work_bytes);
}

static size_t all_threads_bytes(const tody_call *call, const cut *c) {
    return tody_scratch_bytes((uint64_t)thread_bytes(c, call->pointer_bytes) * tody_threads(call));
}

// What the threads have, then what is widened, then one pixel of zeros.
static size_t dwconv_scratch(const tody_call *call) {
    const tody_tensor x = tody_in(call, X);
    const cut c = cut_layer(call);
    return tody_scratch_bytes((uint64_t)all_threads_bytes(call, &c) + tody_channels_room(call, 1) +
                              (uint64_t)x.shape[TODY_CHANNELS] * tody_dtype_bytes(x.dtype));
}

// No part is of two images.
static part part_of(const job *job, uint32_t task) {
    const cut *c = &job->cut;
    const uint32_t rows = task / c->channel_parts / c->pixel_parts, image = rows / c->row_parts;
    const uint32_t height = job->slide.out_height;
    part p = {.channel = task % c->channel_parts * c->channels,
              .pixel = task / c->channel_parts % c->pixel_parts * c->pixels,
              .row = rows % c->row_parts * c->rows};
    p.rows = tody_min_u32(height - p.row, c->rows);
    p.pixels = tody_min_u32(job->slide.out_width - p.pixel, c->pixels);
    p.channels = tody_min_u32(job->slide.channels - p.channel, c->channels);
    p.row += image * height;
    return p;
}

static const void **pointers_of(const job *job, uint32_t thread) {
    return (const void **)(void *)(job->call->scratch + thread * thread_bytes(&job->cut, sizeof(const void *)));
}

static void activate(const job *job, const part *part, const tody_dwconv_f32 *args) {
    const tody_activation *f = &job->activation;
    const bool whole = args->channels == args->c_stride;
    const uint32_t runs = whole ? 1 : part->pixels;
    const size_t count = whole ? (size_t)part->pixels * part->channels : part->channels;
    for (uint32_t row = 0; row < part->rows; row++) {
        for (uint32_t i = 0; i < runs; i++) {
            float *c = args->c + row * args->c_row + i * args->c_stride;
            job->call->kernels->unary_f32(f->fn, f->a, f->b, c, c, count);
        }
    }
}

static void run_f32(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const part part = part_of(job, task);
    tody_slide slide = job->slide;
    tody_dwconv_f32 args = job->f32;
    const uint32_t strip = job->call->kernels->dwconv_f32_strip;
    const size_t to = (size_t)part.row * args.c_row + (size_t)part.pixel * args.c_stride + part.channel;
    const void **a = pointers_of(job, thread);
    slide.x += part.channel * sizeof(float);
    tody_slide_grid(&slide, part.row, part.rows, part.pixel, tody_div_up(part.pixels, strip) * strip, args.a_stride, a);
    args.rows = part.rows;
    args.pixels = part.pixels;
    args.channels = part.channels;
    args.a = (const float *const *)a;
    args.w += part.channel;
    if (args.bias) args.bias += part.channel;
    if (args.addend) args.addend += to;
    args.c += to;
    job->call->kernels->dwconv_f32(&args);
    if (tody_needs_unary(&job->activation)) activate(job, &part, &args);
}

static void run_s8(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const part part = part_of(job, task);
    tody_dwconv_s8 args = job->s8;
    const uint32_t first = part.row * job->slide.out_width + part.pixel;
    const void **a = pointers_of(job, thread);
    args.rows = part.rows;
    args.lines = (part.rows - 1) * args.down + args.height;
    tody_slide_columns(&job->slide, first, part.pixels, args.lines, a);
    args.pixels = part.pixels;
    args.a = (const int8_t *const *)a;
    args.work = (uint8_t *)a + pointers_bytes(&job->cut, sizeof *a);
    args.c += (size_t)first * args.c_stride;
    if (args.addend) args.addend += (size_t)first * args.addend_stride;
    job->call->kernels->dwconv_s8(&args);
}

static void run_s16(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const part part = part_of(job, task);
    tody_dwconv_s16 args = job->s16;
    const uint32_t first = part.row * job->slide.out_width + part.pixel;
    const void **a = pointers_of(job, thread);
    tody_slide_columns(&job->slide, first, part.pixels, args.height, a);
    args.pixels = part.pixels;
    args.a = (const int16_t *const *)a;
    args.c += (size_t)first * args.c_stride;
    if (args.addend) args.addend += (size_t)first * args.addend_stride;
    job->call->kernels->dwconv_s16(&args);
}

static tody_dwconv_f32 make_f32(const tody_call *call, const cut *cut, const tody_channels *each) {
    const tody_conv_params *p = call->params;
    const tody_tensor y = tody_out(call, 0);
    const uint32_t channels = y.shape[TODY_CHANNELS];
    const size_t row = (size_t)y.shape[TODY_WIDTH] * y.pitch;
    return (tody_dwconv_f32){.height = p->window.kernel[0],
                             .width = p->window.kernel[1],
                             .down = tody_grid_step(&p->window, 0),
                             .step = tody_grid_step(&p->window, 1),
                             .a_stride = cut->columns,
                             .w = tody_in(call, W).data,
                             .w_stride = channels,
                             .bias = each->bias,
                             .addend = tody_in_data(call, TODY_LAYER_ADDEND),
                             .addend_row = row,
                             .addend_stride = y.pitch,
                             .c = y.data,
                             .c_row = row,
                             .c_stride = y.pitch,
                             .lo = tody_low(&p->activation),
                             .hi = tody_high(&p->activation)};
}

// Set here field by field rather than as a whole, which would be made on the stack first: chips have little.
static void set_s8(tody_dwconv_s8 *args, const tody_call *call, const tody_channels *each) {
    const tody_conv_params *p = call->params;
    const tody_tensor y = tody_out(call, 0);
    memset(args, 0, sizeof *args);
    args->channels = y.shape[TODY_CHANNELS];
    args->height = p->window.kernel[0];
    args->width = p->window.kernel[1];
    args->step = tody_slide_step(&p->window);
    args->down = tody_grid_step(&p->window, 0);
    args->w = tody_in(call, W).data;
    args->bias = each->bias;
    args->scale = each->scale;
    args->addend = tody_in_data(call, TODY_LAYER_ADDEND);
    args->addend_stride = args->channels;
    args->c = y.data;
    args->c_stride = args->channels;
    args->layer = tody_layer_of(call, 1, &p->activation);
}

static void set_s16(tody_dwconv_s16 *args, const tody_call *call, const tody_channels *each) {
    const tody_conv_params *p = call->params;
    const tody_tensor y = tody_out(call, 0);
    memset(args, 0, sizeof *args);
    args->channels = y.shape[TODY_CHANNELS];
    args->height = p->window.kernel[0];
    args->width = p->window.kernel[1];
    args->step = tody_slide_step(&p->window);
    args->w = tody_in(call, W).data;
    args->bias = each->bias;
    args->scale = each->scale;
    args->addend = tody_in_data(call, TODY_LAYER_ADDEND);
    args->addend_stride = args->channels;
    args->c = y.data;
    args->c_stride = args->channels;
    args->layer = tody_layer_of(call, 1, &p->activation);
}

// Not inlined, so that what it works with leaves the stack before the kernel runs. Returns how many parts there are.
static __attribute__((noinline)) uint32_t make_job(const tody_call *call, job *job) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    const cut *cut = &job->cut;
    job->call = call;
    job->cut = cut_layer(call);
    job->activation = p->activation;
    uint8_t *zeros = call->scratch + all_threads_bytes(call, cut);
    const tody_channels each = tody_channels_of(call, 1, &zeros);
    tody_fill_zero(&x, zeros, x.shape[TODY_CHANNELS]);
    job->slide = tody_slide_over(&x, &y, &p->window, zeros);
    if (tody_is_f32(x.dtype)) {
        job->run = run_f32;
        job->f32 = make_f32(call, cut, &each);
    } else if (tody_is_s16(x.dtype)) {
        job->run = run_s16;
        set_s16(&job->s16, call, &each);
    } else {
        job->run = run_s8;
        set_s8(&job->s8, call, &each);
    }
    return y.shape[TODY_BATCH] * cut->row_parts * cut->pixel_parts * cut->channel_parts;
}

static void dwconv_run(const tody_call *call) {
    job job;
    const uint32_t parts = make_job(call, &job);
    tody_for(call, parts, job.run, &job);
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
    .row_inputs = 1u << 0 | 1u << 3,
    .pitched_inputs = 1u << 0 | 1u << 3,
    .pitched_output = true,
    .slides = true,
    .check = dwconv_check,
    .scratch = dwconv_scratch,
    .run = dwconv_run,
};
