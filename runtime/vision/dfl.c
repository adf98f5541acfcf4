// dfl.c - NanoDet and other GFL heads, and the raw heads of YOLOv8 and its successors.
// SPDX-License-Identifier: Apache-2.0
//
// Each side's distance from the cell's centre is a distribution over `bins` whole strides; the box takes its expectation
// (Li et al. 2020, Generalized Focal Loss). With one bin the value is the distance itself (FCOS).
#include "decode.h"
#include "kernels/portable/math.h"

typedef struct head {
    const tody_decoder_params *p;
    const tody_decoder_input *in;
    uint32_t in_count;
    bool sides_first;  // the sides' bins stand before the classes
} head;

// Classes or sides of one level, from a pair of tensors, one tensor a level or one tensor for all. count 0: it does not fit.
static tody_cells part_of(const head *h, const tody_grid *grid, bool sides) {
    uint32_t side_channels = 4 * h->p->bins, all = h->p->classes + side_channels, cells = grid->cols * grid->rows;
    tody_cells none = {0};
    bool second = sides != h->sides_first;
    if (h->in_count == 2 * h->p->stride_count) {
        tody_cells view = tody_cells_of(&h->in[2 * grid->level + second], sides ? side_channels : h->p->classes);
        return view.count == cells ? view : none;
    }
    bool whole = h->in_count == 1;
    tody_cells view = tody_cells_of(&h->in[whole ? 0 : grid->level], all);
    if (view.count != (whole ? tody_grid_cells(h->p) : cells)) return none;
    uint32_t first_channel = !second ? 0 : sides ? h->p->classes : side_channels;
    return tody_cells_part(view, whole ? grid->first : 0, cells, first_channel);
}

static const char *check(const head *h) {
    const char *fault = tody_decode_check(h->p);
    if (fault) return fault;
    if (!h->p->stride_count || !h->p->bins) return "strides and bins are missing";
    if (h->p->points) return "this decoder has no points";
    uint32_t levels = h->p->stride_count;
    if (h->in_count != 1 && h->in_count != levels && h->in_count != 2 * levels) return TODY_COUNT_FAULT;
    for (uint32_t i = 0; i < levels; i++) {
        tody_grid grid = tody_grid_of(h->p, i);
        if (!part_of(h, &grid, false).count || !part_of(h, &grid, true).count) return TODY_FIT_FAULT;
    }
    return NULL;
}

// Distance of one side in strides.
static float expectation(const tody_cells *sides, uint32_t cell, uint32_t side, uint32_t bins) {
    uint32_t first = side * bins;
    float top = tody_cell(sides, cell, first), sum = 0.0f, weighted = 0.0f;
    if (bins == 1) return top;
    for (uint32_t k = 1; k < bins; k++) {
        float value = tody_cell(sides, cell, first + k);
        top = value > top ? value : top;
    }
    for (uint32_t k = 0; k < bins; k++) {
        float weight = exp_f32(tody_cell(sides, cell, first + k) - top);
        sum += weight;
        weighted += weight * (float)k;
    }
    return weighted / sum;
}

static void place(const head *h, tody_box *box) {
    tody_grid grid = tody_grid_at(h->p, box->anchor);
    tody_cells sides = part_of(h, &grid, true);
    uint32_t cell = box->anchor - grid.first, bins = h->p->bins;
    float centre[2];
    tody_grid_centre(h->p, &grid, cell, centre);
    box->x0 = centre[0] - expectation(&sides, cell, 0, bins) * grid.stride;
    box->y0 = centre[1] - expectation(&sides, cell, 1, bins) * grid.stride;
    box->x1 = centre[0] + expectation(&sides, cell, 2, bins) * grid.stride;
    box->y1 = centre[1] + expectation(&sides, cell, 3, bins) * grid.stride;
}

static uint32_t run(const head *h, tody_box *boxes, uint32_t capacity) {
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    for (uint32_t i = 0; i < h->p->stride_count; i++) {
        tody_grid grid = tody_grid_of(h->p, i);
        tody_cells scores = part_of(h, &grid, false);
        tody_scan(&list, h->p, &scores, NULL, grid.first);
    }
    for (uint32_t i = 0; i < list.count; i++) place(h, &boxes[i]);
    return tody_boxes_finite(boxes, NULL, 0, list.count);
}

static const char *check_nanodet(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    return check(&(head){.p = p, .in = in, .in_count = in_count});
}

static uint32_t run_nanodet(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                            float *points, uint32_t capacity) {
    (void)points;
    return run(&(head){.p = p, .in = in, .in_count = in_count}, boxes, capacity);
}

static const char *check_yolov8(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    return check(&(head){.p = p, .in = in, .in_count = in_count, .sides_first = true});
}

static uint32_t run_yolov8(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                           float *points, uint32_t capacity) {
    (void)points;
    return run(&(head){.p = p, .in = in, .in_count = in_count, .sides_first = true}, boxes, capacity);
}

const tody_decoder tody_decoder_nanodet = {"nanodet", check_nanodet, run_nanodet, TODY_NMS_BEST};
const tody_decoder tody_decoder_yolov8_raw = {"yolov8_raw", check_yolov8, run_yolov8, TODY_NMS_BEST};
