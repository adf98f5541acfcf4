// conv.c - convolution of any kernel, stride, dilation and group: a matrix product over gathered pixels, without im2col.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "f16.h"
#include "gemm.h"
#include "layer.h"
#include "sparse.h"
#include "strassen.h"
#include "window.h"
#include "winograd.h"
#include "winograd_weights.h"

enum { X = 0, W = 1 };

typedef struct job {
    const tody_call *call;
    tody_gemm gemm;  // of group 0
    tody_slide slide;
} job;

// What the file says of tiles for Winograd's way.
static uint32_t tile_of(const tody_call *call) {
    const uint32_t tile = TODY_FLOAT ? call->records[call->in[W]].tile : 0;
    return tile == TODY_TILE_QUARTERS ? 0 : tile;
}

// What becomes of it here: nothing where no memory may be used for speed, as in a chain. Weights of float16 are
// never fleeting, as the scales of their columns want all of the depth, and there are no sums of phases.
static tody_tiling tiling_of(const tody_call *call) {
    const tody_tensor w = tody_in(call, W), y = tody_out(call, 0);
    const tody_conv_params *p = call->params;
    const tody_tiling none = {0};
    if (!call->prepare || !tile_of(call)) return none;
    tody_tiling tiling = tody_winograd_tiling(call->kernels, &p->window, &y, w.shape[3], tile_of(call));
    if (!tody_f16_wanted(call, &w)) return tiling;
    tiling.fleeting = false;
    return tiling.step > 1 ? none : tiling;
}

// Squares without dilation, of which there are kernels for what one phase meets; fleeting weights are of one phase alone. Tiles
// of 5 where there is no other phase would miss the bound of errors (docs/format.md).
static bool can_tile(const tody_window *w, uint32_t tile) {
    if (w->kernel[0] != w->kernel[1] || w->stride[0] != w->stride[1] || w->dilation[0] != 1 || w->dilation[1] != 1)
        return false;
    const tody_tiling t = tody_tiling_of(w, tile);
    const uint32_t most = t.step > 1 ? t.edge - 1 : 4;
    return (t.edge == 4 || t.edge == 6) && t.tile >= 2 && t.tile <= most && t.tile < t.edge && !(t.fleeting && t.step > 1);
}

// 3x3, without stride and dilation: what int8 has tiles for.
static bool is_plain(const tody_window *w) {
    for (uint32_t d = 0; d < 2; d++) {
        if (w->kernel[d] != 3 || w->stride[d] != 1 || w->dilation[d] != 1) return false;
    }
    return true;
}

static tody_status conv_check(const tody_call *call) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), y = tody_out(call, 0);
    tody_status status = tody_check_window(&p->window, &x, &y);
    if (!status) status = tody_check_filters(call, p, 1);
    if (status) return status;
    const uint32_t tile = tile_of(call);
    if (!tile) return TODY_OK;
    if (!can_tile(&p->window, tile)) return TODY_ERR_PARAM;
    const tody_tiling tiling = tody_tiling_of(&p->window, tile);
    return tody_is_slice(&x) && tody_is_folded(&tiling, x.shape[TODY_CHANNELS]) ? TODY_ERR_PARAM : TODY_OK;
}

// Of int8 in tiles, or 0.
static size_t prepared_s8(const tody_call *call) {
    if (!TODY_WINOGRAD_S8 || !call->prepare) return 0;
    const tody_conv_params *p = call->params;
    const tody_tensor w = tody_in(call, W), y = tody_out(call, 0);
    return p->groups == 1 && is_plain(&p->window) ? tody_winograd_s8_prepared(call, &w, &y) : 0;
}

static size_t conv_prepared(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    const tody_tiling tiling = tiling_of(call);
    if (tiling.tile) return tody_winograd_prepared(call, &w, tiling);
    if (tody_strassen_wanted(call)) return tody_strassen_prepared(call);
    return tody_f16_wanted(call, &w) ? tody_f16_prepared(&w) : prepared_s8(call);
}

static void conv_prepare(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    const tody_tiling tiling = tiling_of(call);
    if (tiling.tile && !tiling.fleeting)
        tody_winograd_prepare(call, &w, tiling);
    else if (tody_strassen_wanted(call))
        tody_strassen_prepare(call);
    else if (tody_f16_wanted(call, &w))
        tody_f16_prepare(call, &w);
    else if (prepared_s8(call))
        tody_winograd_s8_prepare(call, &w);
}

// What tiles take.
static size_t tiled_bytes(const tody_call *call) {
    const tody_tensor w = tody_in(call, W), y = tody_out(call, 0);
    const tody_tiling tiling = tiling_of(call);
    if (tiling.tile) return tody_winograd_scratch(call, &w, &y, tiling);
    if (tody_strassen_wanted(call)) return tody_strassen_scratch(call);
    return prepared_s8(call) ? tody_winograd_s8_scratch(call, &w, &y) : 0;
}

// What all threads work with: pointers to pixels, or transformed tiles.
static size_t work_bytes(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    if (w.pack == TODY_BLOCKS) return tody_sparse_scratch(call, w.shape[1], w.shape[2]);
    const size_t direct = tody_gemm_scratch(call, w.dtype, w.shape[2], w.shape[3]);
    const size_t tiled = tiled_bytes(call);
    return tiled > direct ? tiled : direct;
}

// The work of all threads, then what is widened, then one pixel of zeros.
static size_t conv_scratch(const tody_call *call) {
    const tody_tensor w = tody_in(call, W);
    return tody_scratch_bytes((uint64_t)work_bytes(call) + tody_channels_room(call, 1) +
                              (uint64_t)w.shape[0] * w.shape[3] * tody_dtype_bytes(w.dtype));
}

static void gather(const void *slide, uint32_t first, uint32_t rows, const void **a) {
    tody_slide_gather(slide, first, rows, rows, 1, a);
}

// 1x1, stride 1, no padding: the output's pixels are the input's.
static bool same_pixels(const tody_window *w) {
    return tody_taps(w) == 1 && w->stride[0] == 1 && w->stride[1] == 1 && !(w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3]);
}

// Whether the pixels of a line of a window are neighbours. Products of int8 that are not packed do not ask.
static bool has_lines(const tody_conv_params *p, const tody_tensor *x) {
    return TODY_FLOAT && !tody_is_slice(x) && p->window.dilation[1] == 1 && p->window.kernel[1] > 1;
}

// Set here field by field rather than as a whole, which would be made on the stack first: chips have little.
static void set_group_zero(tody_gemm *gemm, const tody_call *call, const tody_tensor *w, const tody_tensor *y, uint8_t **room) {
    const tody_conv_params *p = call->params;
    const tody_channels channels = tody_channels_of(call, 1, room);
    memset(gemm, 0, sizeof *gemm);
    gemm->dtype = y->dtype;
    gemm->rows = tody_extent(y, TODY_BATCH, TODY_CHANNELS);
    gemm->cols = w->shape[1];
    gemm->taps = w->shape[2];
    gemm->depth = w->shape[3];
    gemm->gather = same_pixels(&p->window) ? tody_gather_pixels : gather;
    gemm->w = w->data;
    gemm->w_stride_bytes = tody_panel_bytes(w->dtype, w->shape[2], w->shape[3]);
    gemm->bias = channels.bias;
    gemm->addend = tody_in_data(call, TODY_LAYER_ADDEND);
    gemm->addend_stride = tody_pitch(y);
    gemm->c = y->data;
    gemm->c_stride = tody_pitch(y);
    gemm->activation = p->activation;
    gemm->scale = channels.scale;
    gemm->scale_stride = TODY_PANEL;
    gemm->layer = tody_layer_of(call, 1, &p->activation);
    gemm->pointers = (const void **)(void *)call->scratch;
}

// The product on all threads.
static void multiply(const tody_call *call, const tody_gemm *gemm) {
    if (tody_in(call, W).pack == TODY_BLOCKS)
        tody_sparse_run(call, gemm);
    else
        tody_gemm_run(call, gemm);
}

// Not inlined, so that what it works with leaves the stack before the product runs; `room`, which takes stack to find, comes
// from its caller.
static __attribute__((noinline)) void make_job(const tody_call *call, job *job, uint8_t *room) {
    const tody_conv_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), y = tody_out(call, 0);
    job->call = call;
    set_group_zero(&job->gemm, call, &w, &y, &room);  // which leaves a place for zeros
    tody_fill_zero(&x, room, x.shape[TODY_CHANNELS]);
    job->gemm.source = &job->slide;
    job->gemm.outside = room;
    job->gemm.slide = has_lines(p, &x) ? &job->slide : NULL;
    job->gemm.beside = p->groups - 1;
    if (call->prepared && tody_f16_wanted(call, &w)) tody_f16_use(call, &job->gemm);
    job->slide = tody_slide_over(&x, &y, &p->window, room);
}

static void conv_run(const tody_call *call) {
    job job;
    make_job(call, &job, call->scratch + work_bytes(call));
    const tody_tiling tiling = tiling_of(call);
    const bool s8 = call->prepared && prepared_s8(call);
    if (s8 && tody_winograd_s8_run(call, &job.gemm, &job.slide, call->scratch)) return;
    if (tiling.tile && (tiling.fleeting || call->prepared)) {
        tody_winograd_run(call, &job.gemm, &job.slide, tiling, call->scratch);
    } else if (call->prepared && tody_strassen_wanted(call)) {
        tody_strassen_run(call, &job.gemm);
    } else {
        multiply(call, &job.gemm);
    }
}

const tody_op tody_op_conv = {
    .name = "conv",
    .code = TODY_OP_CONV,
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
    .check = conv_check,
    .scratch = conv_scratch,
    .prepared = conv_prepared,
    .prepare = conv_prepare,
    .run = conv_run,
};
