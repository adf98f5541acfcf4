// yolov5.c - YOLOv5 (and v7): decoded rows, or raw heads with anchors.
// SPDX-License-Identifier: Apache-2.0
//
// Raw: with s = sigmoid of every channel, the centre is (2 s_xy - 0.5 + cell) * stride and the size (2 s_wh)^2 * anchor.
#include "kernels/portable/math.h"
#include "yolo.h"

static uint32_t per_cell(const tody_decoder_params *p) { return p->anchor_count / p->stride_count; }

// The cells of one anchor of a level. count 0: the tensor does not fit.
static tody_cells part_of(const tody_decoder_params *p, const tody_decoder_input *in, const tody_grid *grid, uint32_t anchor) {
    uint32_t channels = 5 + p->classes, cells = grid->cols * grid->rows;
    tody_cells view = tody_cells_of(&in[grid->level], per_cell(p) * channels);
    if (view.count == cells) return tody_cells_part(view, 0, cells, anchor * channels);
    view = tody_cells_of(&in[grid->level], channels);
    if (view.count == per_cell(p) * cells) return tody_cells_part(view, anchor * cells, cells, 0);
    return (tody_cells){0};
}

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    if (p->points) return "this decoder has no points";
    if (!p->stride_count) return tody_yolo_check(p, in, in_count, 5);
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != p->stride_count) return TODY_COUNT_FAULT;
    if (!p->anchor_count || p->anchor_count > 16 * p->stride_count || p->anchor_count % p->stride_count ||
        p->anchor_columns != 2) {
        return "the anchors must be rows of w, h, equally many for each stride";
    }
    if (!(p->flags & TODY_DECODE_SIGMOID)) return "raw heads are logits: sigmoid must be set";
    for (uint32_t i = 0; i < p->stride_count; i++) {
        tody_grid grid = tody_grid_of(p, i);
        if (!part_of(p, in, &grid, 0).count) return TODY_FIT_FAULT;
    }
    return NULL;
}

static void place(const tody_decoder_params *p, const tody_decoder_input *in, tody_box *box) {
    uint32_t anchors = per_cell(p);
    tody_grid grid = tody_grid_at(p, box->anchor / anchors);
    uint32_t within = box->anchor - grid.first * anchors, cells = grid.cols * grid.rows;
    uint32_t anchor = within / cells, cell = within % cells;
    tody_cells part = part_of(p, in, &grid, anchor);
    const float *size = p->anchors + 2 * ((size_t)grid.level * anchors + anchor);
    float s[4];
    for (uint32_t k = 0; k < 4; k++) s[k] = 2.0f * sigmoid_f32(tody_cell(&part, cell, k));
    float x = (float)(cell % grid.cols), y = (float)(cell / grid.cols);
    tody_box_set(box, (s[0] - 0.5f + x) * grid.stride, (s[1] - 0.5f + y) * grid.stride, s[2] * s[2] * size[0],
                 s[3] * s[3] * size[1]);
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    if (!p->stride_count) return tody_yolo_run(p, in, 5, boxes, points, capacity);
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    for (uint32_t i = 0; i < in_count; i++) {
        tody_grid grid = tody_grid_of(p, i);
        for (uint32_t a = 0; a < per_cell(p); a++) {
            tody_cells part = part_of(p, in, &grid, a);
            tody_cells scores = tody_cells_part(part, 0, part.count, 5), sureness = tody_cells_part(part, 0, part.count, 4);
            tody_scan(&list, p, &scores, &sureness, grid.first * per_cell(p) + a * part.count);
        }
    }
    for (uint32_t i = 0; i < list.count; i++) place(p, in, &boxes[i]);
    return tody_boxes_finite(boxes, points, 0, list.count);
}

const tody_decoder tody_decoder_yolov5 = {"yolov5", check, run, TODY_NMS_BEST};
