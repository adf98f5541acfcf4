// yolox.c - YOLOX: decoded rows, or raw ones relative to their cell.
// SPDX-License-Identifier: Apache-2.0
//
// Raw: the centre is (xy + cell) * stride, the size exp(wh) * stride (Ge et al. 2021).
#include "kernels/portable/math.h"
#include "yolo.h"

// The cells of a level, from one tensor a level or one for all. count 0: the tensor does not fit.
static tody_cells part_of(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count,
                          const tody_grid *grid) {
    bool whole = in_count == 1;
    uint32_t cells = grid->cols * grid->rows;
    tody_cells view = tody_cells_of(&in[whole ? 0 : grid->level], 5 + p->classes);
    if (view.count != (whole ? tody_grid_cells(p) : cells)) return (tody_cells){0};
    return tody_cells_part(view, whole ? grid->first : 0, cells, 0);
}

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    if (p->points) return "this decoder has no points";
    if (!p->stride_count) return tody_yolo_check(p, in, in_count, 5);
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != 1 && in_count != p->stride_count) return TODY_COUNT_FAULT;
    for (uint32_t i = 0; i < p->stride_count; i++) {
        tody_grid grid = tody_grid_of(p, i);
        if (!part_of(p, in, in_count, &grid).count) return TODY_FIT_FAULT;
    }
    return NULL;
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    if (!p->stride_count) return tody_yolo_run(p, in, 5, boxes, points, capacity);
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    for (uint32_t i = 0; i < p->stride_count; i++) {
        tody_grid grid = tody_grid_of(p, i);
        tody_cells part = part_of(p, in, in_count, &grid);
        tody_cells scores = tody_cells_part(part, 0, part.count, 5), sureness = tody_cells_part(part, 0, part.count, 4);
        tody_scan(&list, p, &scores, &sureness, grid.first);
    }
    for (uint32_t i = 0; i < list.count; i++) {
        tody_grid grid = tody_grid_at(p, boxes[i].anchor);
        tody_cells part = part_of(p, in, in_count, &grid);
        uint32_t cell = boxes[i].anchor - grid.first;
        float x = (float)(cell % grid.cols) + tody_cell(&part, cell, 0),
              y = (float)(cell / grid.cols) + tody_cell(&part, cell, 1);
        tody_box_set(&boxes[i], x * grid.stride, y * grid.stride, exp_f32(tody_cell(&part, cell, 2)) * grid.stride,
                     exp_f32(tody_cell(&part, cell, 3)) * grid.stride);
    }
    return tody_boxes_finite(boxes, points, 0, list.count);
}

const tody_decoder tody_decoder_yolox = {"yolox", check, run, TODY_NMS_BEST};
