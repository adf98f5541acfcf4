// heatmap.c - CenterFace and CenterNet: objects are peaks of a heat map.
// SPDX-License-Identifier: Apache-2.0
#include "decode.h"
#include "kernels/portable/math.h"

static const char *check_maps(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (p->stride_count != 1) return "the decoder takes one stride";
    if (in_count != (p->points ? 4 : 3)) return TODY_COUNT_FAULT;
    uint32_t cells = tody_grid_cells(p);
    if (tody_cells_of(&in[0], p->classes).count != cells) return TODY_FIT_FAULT;
    if (tody_cells_of(&in[1], 2).count != cells || tody_cells_of(&in[2], 2).count != cells) return TODY_FIT_FAULT;
    return !p->points || tody_cells_of(&in[3], 2 * p->points).count == cells ? NULL : TODY_FIT_FAULT;
}

static const char *check_centerface(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    return p->classes == 1 ? check_maps(p, in, in_count) : "this decoder has one class";
}

static uint32_t run_centerface(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                               float *points, uint32_t capacity) {
    (void)in_count;
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    tody_grid grid = tody_grid_of(p, 0);
    tody_cells heat = tody_cells_of(&in[0], 1), size = tody_cells_of(&in[1], 2), offset = tody_cells_of(&in[2], 2), marks = {0};
    if (p->points) marks = tody_cells_of(&in[3], 2 * p->points);
    tody_scan(&list, p, &heat, NULL, 0);
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t cell = boxes[i].anchor;
        float centre[2];
        tody_grid_centre(p, &grid, cell, centre);
        float h = exp_f32(tody_cell(&size, cell, 0)) * grid.stride, w = exp_f32(tody_cell(&size, cell, 1)) * grid.stride;
        tody_box_set(&boxes[i], centre[0] + tody_cell(&offset, cell, 1) * grid.stride,
                     centre[1] + tody_cell(&offset, cell, 0) * grid.stride, w, h);
        float *at = tody_points_at(p, points, i);
        for (uint32_t k = 0; k < p->points; k++) {
            at[2 * k] = boxes[i].x0 + tody_cell(&marks, cell, 2 * k + 1) * w;
            at[2 * k + 1] = boxes[i].y0 + tody_cell(&marks, cell, 2 * k) * h;
        }
    }
    return tody_boxes_finite(boxes, points, p->points, list.count);
}

static const char *check_centernet(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    return p->points ? "this decoder has no points" : check_maps(p, in, in_count);
}

// The largest of its 3x3 neighbourhood; of equal neighbours the first one only.
static bool is_peak(const tody_cells *heat, const tody_grid *grid, uint32_t cell, uint32_t label) {
    uint32_t x = cell % grid->cols, y = cell / grid->cols;
    float value = tody_cell(heat, cell, label);
    for (uint32_t ny = y ? y - 1 : 0; ny <= y + 1 && ny < grid->rows; ny++) {
        for (uint32_t nx = x ? x - 1 : 0; nx <= x + 1 && nx < grid->cols; nx++) {
            uint32_t near = ny * grid->cols + nx;
            float other = tody_cell(heat, near, label);
            if (other > value || (other == value && near < cell)) return false;
        }
    }
    return true;
}

static void scan_peaks(tody_candidates *list, const tody_decoder_params *p, const tody_cells *heat, const tody_grid *grid) {
    float least = tody_score_floor(p);
    for (uint32_t cell = 0; cell < heat->count; cell++) {
        for (uint32_t label = 0; label < p->classes; label++) {
            float value = tody_cell(heat, cell, label);
            if (!(value >= least)) continue;
            float score = p->flags & TODY_DECODE_SIGMOID ? sigmoid_f32(value) : value;
            if (score >= p->score && is_peak(heat, grid, cell, label)) tody_candidates_add(list, score, label, cell);
        }
    }
}

static uint32_t run_centernet(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                              float *points, uint32_t capacity) {
    (void)in_count;
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    tody_grid grid = tody_grid_of(p, 0);
    tody_cells heat = tody_cells_of(&in[0], p->classes), size = tody_cells_of(&in[1], 2), offset = tody_cells_of(&in[2], 2);
    scan_peaks(&list, p, &heat, &grid);
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t cell = boxes[i].anchor;
        float x = (float)(cell % grid.cols) + tody_cell(&offset, cell, 0),
              y = (float)(cell / grid.cols) + tody_cell(&offset, cell, 1);
        tody_box_set(&boxes[i], x * grid.stride, y * grid.stride, tody_cell(&size, cell, 0) * grid.stride,
                     tody_cell(&size, cell, 1) * grid.stride);
    }
    return tody_boxes_finite(boxes, points, 0, list.count);
}

const tody_decoder tody_decoder_centerface = {"centerface", check_centerface, run_centerface, TODY_NMS_WEIGHTED};
const tody_decoder tody_decoder_centernet = {"centernet", check_centernet, run_centernet, TODY_NMS_NONE};
