// pool_s8.c - largest or average int8 or int16 under a window, of any size.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "pool.h"
#include "quant.h"

enum { POINTERS = 64, MOST_TAPS = 256 };  // of the windows of a block of pixels, and of a window that is gathered
enum { X = 0, SCALE = 1 };

typedef struct job {
    const tody_kernels *kernels;
    tody_slide slide;
    const int8_t *outside;  // what the slide takes for padding, to be skipped
    int8_t *y;
    uint8_t *scratch;
    size_t sums_bytes, thread_bytes;
    int32_t x_zero;
    const float *scale;  // average: by the number of taps that count, less one
    tody_finish_s8 finish;
    uint32_t taps;
    bool include_pad;
} job;

static size_t sums_bytes(uint32_t channels) { return tody_scratch_bytes((uint64_t)channels * sizeof(uint32_t)); }

// Pixels whose windows are gathered together; 0: they are too large for that.
static uint32_t block_of(uint32_t taps) { return taps > MOST_TAPS ? 0 : tody_max_u32(POINTERS / taps, 1); }

// Sums, then pointers.
static size_t thread_bytes(uint32_t channels, uint32_t taps, size_t pointer_bytes) {
    return tody_scratch_bytes((uint64_t)sums_bytes(channels) + (uint64_t)block_of(taps) * taps * pointer_bytes);
}

size_t tody_pool_scratch_s8(const tody_call *call) {
    const uint32_t taps = tody_taps(&((const tody_pool_params *)call->params)->window);
    const size_t bytes = thread_bytes(tody_in(call, X).shape[TODY_CHANNELS], taps, call->pointer_bytes);
    return tody_scratch_bytes((uint64_t)bytes * tody_threads(call));
}

tody_status tody_check_pool_s8(const tody_call *call) {
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (p->kind == TODY_POOL_AVERAGE) return tody_check_last_multipliers(call, SCALE, tody_taps(&p->window));
    if (call->in_count != 1) return TODY_ERR_OP_RECORD;
    return tody_same_type(&x, &y) ? TODY_OK : TODY_ERR_DTYPE;
}

// Drop the taps outside of the image; how many are left.
static uint32_t keep_inside(const job *j, const int8_t **a, uint32_t taps) {
    uint32_t count = 0;
    for (uint32_t t = 0; t < taps; t++) {
        a[count] = a[t];
        count += a[t] != j->outside;
    }
    return count;
}

// What a sum is multiplied with.
static float scale_at(const job *j, uint32_t pixel) {
    const uint32_t count = tody_pool_count(&j->slide, pixel, j->include_pad);
    return j->scale[count ? count - 1 : 0];  // without a tap the sum is 0
}

// `sum` still has x_zero in it, `taps` times.
static void finish(const job *j, uint32_t pixel, const uint32_t *sum, uint32_t taps) {
    const uint32_t channels = j->slide.channels, zeros = taps * (uint32_t)j->x_zero;
    const float scale = scale_at(j, pixel);
    int8_t *y = j->y + (size_t)pixel * channels;
    for (uint32_t c = 0; c < channels; c++) y[c] = tody_finish((float)(int32_t)(sum[c] - zeros) * scale, &j->finish);
}

// A window that one call of the kernel can take.
static void run_small(const job *j, uint32_t pixel, const int8_t **a, uint32_t *sum) {
    const uint32_t channels = j->slide.channels, taps = keep_inside(j, a, j->taps);
    int8_t *y = j->y + (size_t)pixel * channels;
    if (j->scale) {
        if (taps == 0) memset(sum, 0, channels * sizeof *sum);
        if (taps > 0) j->kernels->sum_s8(a, taps, channels, sum);
        finish(j, pixel, sum, taps);
    } else if (taps > 0) {
        j->kernels->max_s8(a, taps, channels, y);
    } else {
        memset(y, INT8_MIN, channels);
    }
}

// A larger one, tap by tap.
static void run_large(const job *j, uint32_t pixel, uint32_t *sum) {
    const uint32_t channels = j->slide.channels;
    int8_t *y = j->y + (size_t)pixel * channels;
    memset(y, INT8_MIN, channels);
    memset(sum, 0, channels * sizeof *sum);
    for (uint32_t t = 0; t < j->taps; t++) {
        const int8_t *x = tody_slide_tap(&j->slide, pixel, t);
        if (x == j->outside) continue;
        for (uint32_t c = 0; c < channels; c++) {
            sum[c] += (uint32_t)(x[c] - j->x_zero);
            y[c] = x[c] > y[c] ? x[c] : y[c];
        }
    }
    if (j->scale) finish(j, pixel, sum, 0);
}

static uint32_t *sums_of(const job *j, uint32_t thread) { return (uint32_t *)(void *)(j->scratch + thread * j->thread_bytes); }

static void run_pixels(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    uint32_t *sum = sums_of(j, thread);
    const void **a = (const void **)(void *)((uint8_t *)sum + j->sums_bytes);
    const uint32_t block = block_of(j->taps);
    for (uint32_t pixel = begin; !block && pixel < end; pixel++) run_large(j, pixel, sum);
    for (uint32_t first = begin; block && first < end; first += block) {
        const uint32_t count = tody_min_u32(end - first, block);
        tody_slide_gather(&j->slide, first, count, 1, j->taps, a);
        for (uint32_t i = 0; i < count; i++) {
            run_small(j, first + i, (const int8_t **)a + (size_t)i * j->taps, sum);
        }
    }
}

static void add_s16(uint32_t *sum, const int16_t *x, uint32_t channels) {
    for (uint32_t c = 0; c < channels; c++) {
        const int32_t value = x[c];  // or gcc warns of a sign that changes
        sum[c] += (uint32_t)value;
    }
}

static void max_s16(int16_t *y, const int16_t *x, uint32_t channels) {
    for (uint32_t c = 0; c < channels; c++) y[c] = x[c] > y[c] ? x[c] : y[c];
}

// int16, tap by tap.
static void run_pixels_s16(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    const uint32_t channels = j->slide.channels;
    uint32_t *sum = sums_of(j, thread);
    for (uint32_t pixel = begin; pixel < end; pixel++) {
        int16_t *y = (int16_t *)(void *)j->y + (size_t)pixel * channels;
        if (j->scale) memset(sum, 0, channels * sizeof *sum);
        for (uint32_t c = 0; !j->scale && c < channels; c++) y[c] = INT16_MIN;
        for (uint32_t t = 0; t < j->taps; t++) {
            const void *x = tody_slide_tap(&j->slide, pixel, t);
            if (x == j->outside) continue;
            if (j->scale)
                add_s16(sum, x, channels);
            else
                max_s16(y, x, channels);
        }
        if (!j->scale) continue;
        const float scale = scale_at(j, pixel);
        for (uint32_t c = 0; c < channels; c++) {
            y[c] = (int16_t)tody_finish_s32((float)(int32_t)sum[c] * scale, &j->finish);
        }
    }
}

void tody_pool_s8(const tody_call *call) {
    static const int8_t outside = 0;
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    job job = {
        .kernels = call->kernels,
        .slide = tody_slide_over(&x, &y, &p->window, &outside),
        .outside = &outside,
        .y = y.data,
        .scratch = call->scratch,
        .sums_bytes = sums_bytes(x.shape[TODY_CHANNELS]),
        .thread_bytes = thread_bytes(x.shape[TODY_CHANNELS], tody_taps(&p->window), sizeof(const void *)),
        .x_zero = x.zero_point,
        .scale = p->kind == TODY_POOL_AVERAGE ? tody_in(call, SCALE).data : NULL,
        .finish = tody_finish_of(NULL, &y),
        .taps = tody_taps(&p->window),
        .include_pad = p->include_pad,
    };
    const uint32_t grain = TODY_GRAIN / job.taps / x.shape[TODY_CHANNELS] + 1;
    const tody_range range = tody_is_s16(x.dtype) ? run_pixels_s16 : run_pixels;
    tody_for_ranges(call, tody_extent(&y, TODY_BATCH, TODY_CHANNELS), grain, range, &job);
}
