// blazeface.c - MediaPipe's single-shot detectors: BlazeFace, palms.
// SPDX-License-Identifier: Apache-2.0
//
// `strides` lists one entry per layer of the anchor scheme; equal neighbours share a grid. A layer has two anchors a cell (or
// one: full range), all of the input's size, so that boxes and points are pixels relative to the cell's centre.
#include "decode.h"

// Neighbouring layers of one stride.
typedef struct group {
    uint32_t cols, cells, anchors, first;  // anchors per cell; first: the number of its first anchor
    float stride;
} group;

// The group whose first layer is *layer, which moves on to the next group.
static group next_group(const tody_decoder_params *p, uint32_t *layer, uint32_t first, uint32_t per_layer) {
    tody_grid grid = tody_grid_of(p, *layer);
    group g = {.cols = grid.cols, .cells = grid.cols * grid.rows, .first = first, .stride = grid.stride};
    for (uint32_t stride = p->strides[*layer]; *layer < p->stride_count && p->strides[*layer] == stride; (*layer)++) {
        g.anchors += per_layer;
    }
    return g;
}

static uint32_t rows_of(const tody_decoder_input *in, uint32_t in_count) {
    uint64_t rows = 0;
    for (uint32_t i = 0; i < in_count; i += 2) rows += tody_decode_elements(&in[i]);
    return rows <= INT32_MAX ? (uint32_t)rows : 0;
}

// Anchors per cell and layer; 0: the outputs have another number of rows.
static uint32_t anchors_per_layer(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    uint32_t rows = rows_of(in, in_count), cells = tody_grid_cells(p);
    if (rows == 2 * cells) return 2;
    return rows == cells ? 1 : 0;
}

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (!p->stride_count) return "the strides are missing";
    if (p->classes != 1) return "this decoder has one class";
    if (in_count == 0 || in_count % 2) return TODY_COUNT_FAULT;
    for (uint32_t i = 0; i < in_count; i += 2) {
        uint32_t rows = tody_decode_elements(&in[i]);
        if (!rows || tody_cells_of(&in[i + 1], 4 + 2 * p->points).count != rows) return TODY_FIT_FAULT;
    }
    return anchors_per_layer(p, in, in_count) ? NULL : TODY_FIT_FAULT;
}

static void centre_of(const tody_decoder_params *p, uint32_t anchor, uint32_t per_layer, float centre[2]) {
    uint32_t layer = 0;
    group g = next_group(p, &layer, 0, per_layer);
    while (anchor >= g.first + g.cells * g.anchors) g = next_group(p, &layer, g.first + g.cells * g.anchors, per_layer);
    uint32_t cell = (anchor - g.first) / g.anchors;
    centre[0] = ((float)(cell % g.cols) + 0.5f) * g.stride;
    centre[1] = ((float)(cell / g.cols) + 0.5f) * g.stride;
}

static void place(const tody_decoder_params *p, const tody_decoder_input *in, const float centre[2], tody_box *box,
                  float *points) {
    uint32_t row = box->anchor;
    while (row >= tody_decode_elements(in)) {
        row -= tody_decode_elements(in);
        in += 2;
    }
    tody_cells values = tody_cells_of(&in[1], 4 + 2 * p->points);
    tody_box_set(box, centre[0] + tody_cell(&values, row, 0), centre[1] + tody_cell(&values, row, 1),
                 tody_cell(&values, row, 2), tody_cell(&values, row, 3));
    for (uint32_t k = 0; k < 2 * p->points; k++) points[k] = centre[k % 2] + tody_cell(&values, row, 4 + k);
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    uint32_t per_layer = anchors_per_layer(p, in, in_count), first = 0;
    for (uint32_t i = 0; i < in_count; i += 2) {
        tody_cells scores = tody_cells_of(&in[i], 1);
        tody_scan(&list, p, &scores, NULL, first);
        first += scores.count;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        float centre[2];
        centre_of(p, boxes[i].anchor, per_layer, centre);
        place(p, in, centre, &boxes[i], tody_points_at(p, points, i));
    }
    return tody_boxes_finite(boxes, points, p->points, list.count);
}

const tody_decoder tody_decoder_blazeface = {"blazeface", check, run, TODY_NMS_WEIGHTED};
