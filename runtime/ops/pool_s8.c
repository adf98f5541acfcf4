// pool_s8.c - largest or average int8 under a window, of any size.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "pool.h"
#include "quant.h"

enum { LANES = 64 };  // channels of a pixel that are summed together
enum { X = 0, SCALE = 1 };

typedef struct job {
    tody_slide slide;
    const int8_t *outside;  // what the slide takes for padding, to be skipped
    int8_t *y;
    int32_t x_zero;
    const float *scale;  // average: by the number of taps that count, less one
    tody_finish_s8 finish;
    uint32_t taps;
    bool include_pad;
} job;

tody_status tody_check_pool_s8(const tody_call *call) {
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    if (p->kind == TODY_POOL_AVERAGE) return tody_check_last_multipliers(call, SCALE, tody_taps(&p->window));
    if (call->in_count != 1) return TODY_ERR_OP_RECORD;
    return tody_same_type(&x, &y) ? TODY_OK : TODY_ERR_DTYPE;
}

// Channels [first, first + lanes) of a pixel: the largest integer, -128 where no tap lies in the image.
static void largest(const job *j, uint32_t pixel, uint32_t first, uint32_t lanes, int8_t *y) {
    int8_t most[LANES];
    memset(most, INT8_MIN, sizeof most);
    for (uint32_t t = 0; t < j->taps; t++) {
        const int8_t *x = tody_slide_tap(&j->slide, pixel, t);
        if (x == j->outside) continue;
        for (uint32_t c = 0; c < lanes; c++) most[c] = x[first + c] > most[c] ? x[first + c] : most[c];
    }
    memcpy(y, most, lanes);
}

static void average(const job *j, uint32_t pixel, uint32_t first, uint32_t lanes, int8_t *y) {
    uint32_t sum[LANES] = {0};
    for (uint32_t t = 0; t < j->taps; t++) {
        const int8_t *x = tody_slide_tap(&j->slide, pixel, t);
        if (x == j->outside) continue;
        for (uint32_t c = 0; c < lanes; c++) sum[c] += (uint32_t)(x[first + c] - j->x_zero);
    }
    const uint64_t count = tody_pool_count(&j->slide, pixel, j->include_pad);
    const float scale = j->scale[count ? count - 1 : 0];  // without a tap the sum is 0
    for (uint32_t c = 0; c < lanes; c++) y[c] = tody_finish((float)(int32_t)sum[c] * scale, &j->finish);
}

static void run_pixels(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const job *j = context;
    const uint32_t channels = j->slide.channels;
    for (uint32_t pixel = begin; pixel < end; pixel++) {
        int8_t *y = j->y + (size_t)pixel * channels;
        for (uint32_t first = 0; first < channels; first += LANES) {
            (j->scale ? average : largest)(j, pixel, first, tody_min_u32(channels - first, LANES), y + first);
        }
    }
}

void tody_pool_s8(const tody_call *call) {
    static const int8_t outside = 0;
    const tody_pool_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    job job = {
        .slide = tody_slide_over(&x, &y, &p->window, &outside),
        .outside = &outside,
        .y = y.data,
        .x_zero = x.zero_point,
        .scale = p->kind == TODY_POOL_AVERAGE ? tody_in(call, SCALE).data : NULL,
        .finish = tody_finish_of(NULL, &y),
        .taps = tody_taps(&p->window),
        .include_pad = p->include_pad,
    };
    const uint32_t grain = TODY_GRAIN / job.taps / x.shape[TODY_CHANNELS] + 1;
    tody_for_ranges(call, tody_extent(&y, TODY_BATCH, TODY_CHANNELS), grain, run_pixels, &job);
}
