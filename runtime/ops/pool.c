// pool.c - largest or average value under a window, of any size up to the whole image.
// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

enum {
    BLOCK_POINTERS = 1024,  // per kernel call; a larger window goes by in parts
    BLOCK_PIXELS = 64,
};

// What each thread has of the scratch. Two pixels follow it where the window goes by in parts.
typedef struct workspace {
    const void *a[BLOCK_POINTERS];
    float scale[BLOCK_PIXELS];
} workspace;

typedef struct job {
    const tody_call *call;
    tody_slide slide;
    float *y;
    uint32_t pixels, block, taps, pitch;  // of y
    size_t workspace_bytes;
} job;

static tody_status pool_check(const tody_call *call) {
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    tody_status status = tody_check_images(&p->window, &x, &y);
    if (status) return status;
    if (p->kind > TODY_POOL_AVERAGE || p->include_pad > 1) return TODY_ERR_PARAM;
    if (x.shape[TODY_CHANNELS] != y.shape[TODY_CHANNELS]) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < 2; d++) {  // the last window may hang over the end, but must begin before it
        uint64_t padded = (uint64_t)x.shape[TODY_HEIGHT + d] + p->window.pad[d] + p->window.pad[d + 2];
        if ((uint64_t)(y.shape[TODY_HEIGHT + d] - 1) * p->window.stride[d] >= padded) return TODY_ERR_SHAPE;
    }
    if (!tody_is_f32(x.dtype)) return tody_check_pool_s8(call);
    return call->in_count == 1 ? TODY_OK : TODY_ERR_OP_RECORD;
}

static size_t workspace_bytes(uint32_t taps, uint32_t channels, size_t pointer_bytes) {
    uint64_t partial = taps > BLOCK_POINTERS ? 2 * (uint64_t)channels * sizeof(float) : 0;
    return tody_scratch_bytes(BLOCK_POINTERS * (uint64_t)pointer_bytes + sizeof((workspace){0}.scale) + partial);
}

// The workspaces of all threads, then the pixel that stands for padding.
static size_t pool_scratch(const tody_call *call) {
    if (!tody_is_f32(tody_in(call, 0).dtype)) return tody_pool_scratch_s8(call);
    const tody_pool_params *p = call->params;
    const uint32_t channels = tody_in(call, 0).shape[TODY_CHANNELS];
    const uint64_t each = workspace_bytes(tody_taps(&p->window), channels, call->pointer_bytes),
                   threads = each * tody_threads(call);
    return tody_scratch_bytes(threads + (uint64_t)channels * sizeof(float));
}

// Taps of dimension d that count for the average at output position `out`: those in the image, or in the padded image.
static uint32_t counted(const tody_slide *s, uint32_t d, uint32_t out, bool include_pad) {
    const tody_window *w = &s->window;
    const uint32_t start = out * w->stride[d], step = w->dilation[d];  // counted from the padding's beginning, as the next two
    const uint32_t low = include_pad ? 0 : w->pad[d];
    const uint32_t high = w->pad[d] + (d == 0 ? s->height : s->width) + (include_pad ? w->pad[d + 2] : 0);
    const uint32_t first = start < low ? tody_div_up(low - start, step) : 0;
    const uint32_t end = tody_min_u32(start < high ? tody_div_up(high - start, step) : 0, w->kernel[d]);
    return end > first ? end - first : 0;
}

uint32_t tody_pool_count(const tody_slide *s, uint32_t pixel, bool include_pad) {
    const uint32_t rows = counted(s, 0, pixel / s->out_width % s->out_height, include_pad);
    return rows * counted(s, 1, pixel % s->out_width, include_pad);
}

static float scale_of(const job *job, uint32_t pixel) {
    const tody_pool_params *p = job->call->params;
    const uint32_t count = tody_pool_count(&job->slide, pixel, p->include_pad);
    return count ? 1.0f / (float)count : 0.0f;
}

static bool averages(const job *job) { return ((const tody_pool_params *)job->call->params)->kind == TODY_POOL_AVERAGE; }

static void run_kernel(const job *job, const tody_pool_f32 *args) {
    const tody_kernels *k = job->call->kernels;
    (averages(job) ? k->sum_pool_f32 : k->max_pool_f32)(args);
}

// One pixel whose window is too large for one call: what has been seen so far stands in for the pixels it came from.
static void run_large(const job *job, uint32_t pixel, workspace *work) {
    const uint32_t channels = job->slide.channels;
    const float one = 1.0f, scale = scale_of(job, pixel);
    float *partial = (float *)(work + 1), *other = partial + channels;  // a kernel's result may not be one of its sources
    tody_pool_f32 args = {
        .pixels = 1, .channels = channels, .a = (const float *const *)work->a, .scale = &one, .c_stride = job->pitch};
    for (uint32_t tap = 0; tap < job->taps; tap++) {
        const void *x = tody_slide_tap(&job->slide, pixel, tap);
        if (x == job->slide.outside) continue;
        work->a[args.taps++] = x;
        if (args.taps < BLOCK_POINTERS) continue;
        args.c = partial;
        run_kernel(job, &args);
        work->a[0] = partial;
        args.taps = 1;
        partial = other;
        other = args.c;
    }
    if (args.taps == 0) work->a[args.taps++] = job->slide.outside;
    args.scale = &scale;
    args.c = job->y + (size_t)pixel * job->pitch;
    run_kernel(job, &args);
}

static void run_block(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    workspace *work = (workspace *)(void *)(job->call->scratch + thread * job->workspace_bytes);
    const uint32_t first = task * job->block, channels = job->slide.channels;
    if (job->taps > BLOCK_POINTERS) {
        run_large(job, first, work);
        return;
    }
    tody_pool_f32 args = {
        .pixels = tody_min_u32(job->pixels - first, job->block),
        .channels = channels,
        .taps = job->taps,
        .a = (const float *const *)work->a,
        .scale = work->scale,
        .c = job->y + (size_t)first * job->pitch,
        .c_stride = job->pitch,
    };
    tody_slide_gather(&job->slide, first, args.pixels, 1, job->taps, work->a);
    if (averages(job)) {
        for (uint32_t i = 0; i < args.pixels; i++) work->scale[i] = scale_of(job, first + i);
    }
    run_kernel(job, &args);
}

static void pool_run(const tody_call *call) {
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), y = tody_out(call, 0);
    if (!tody_is_f32(x.dtype)) {
        tody_pool_s8(call);
        return;
    }
    const uint32_t taps = tody_taps(&p->window), channels = x.shape[TODY_CHANNELS];
    job job = {
        .call = call,
        .y = y.data,
        .pixels = tody_extent(&y, TODY_BATCH, TODY_CHANNELS),
        .block = tody_max_u32(tody_min_u32(BLOCK_POINTERS / taps, BLOCK_PIXELS), 1),
        .taps = taps,
        .pitch = y.pitch,
        .workspace_bytes = workspace_bytes(taps, channels, sizeof(const void *)),
    };
    float *outside = (float *)(void *)(call->scratch + tody_threads(call) * job.workspace_bytes);
    for (uint32_t i = 0; i < channels; i++) outside[i] = p->kind == TODY_POOL_MAX ? -__builtin_inff() : 0.0f;
    job.slide = tody_slide_over(&x, &y, &p->window, outside);
    tody_for(call, tody_div_up(job.pixels, job.block), run_block, &job);
}

const tody_op tody_op_pool = {
    .name = "pool",
    .code = TODY_OP_POOL,
    .param_bytes = sizeof(tody_pool_params),
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .required_inputs = 1,
    .row_inputs = 1u << 0,
    .pitched_inputs = 1u << 0,
    .pitched_output = true,
    .slides = true,
    .check = pool_check,
    .scratch = pool_scratch,
    .run = pool_run,
};
