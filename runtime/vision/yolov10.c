// yolov10.c - finished boxes, one in a row, each object once: YOLOv10, YOLO26, and models that end in their own suppression.
// SPDX-License-Identifier: Apache-2.0
#include "decode.h"

enum { SCORE = 4, LABEL = 5, FIRST_POINT = 6, PER_POINT = 3 };  // columns; a point is x, y, visibility

static uint32_t columns(const tody_decoder_params *p) { return FIRST_POINT + PER_POINT * p->points; }

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != 1) return TODY_COUNT_FAULT;
    return tody_cells_of(&in[0], columns(p)).count ? NULL : TODY_FIT_FAULT;
}

// Rows that are only there to fill the tensor have a score of 0 or a label below 0.
static void scan(tody_candidates *list, const tody_decoder_params *p, const tody_cells *rows) {
    for (uint32_t i = 0; i < rows->count; i++) {
        float score = tody_cell(rows, i, SCORE), label = tody_cell(rows, i, LABEL);
        if (score >= p->score && label >= 0.0f && label < (float)p->classes) {
            tody_candidates_add(list, score, (uint32_t)label, i);
        }
    }
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    (void)in_count;
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    tody_cells rows = tody_cells_of(&in[0], columns(p));
    scan(&list, p, &rows);
    bool fractions = p->flags & TODY_DECODE_NORMALIZED;
    float unit[2] = {fractions ? (float)p->width : 1.0f, fractions ? (float)p->height : 1.0f};
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t row = boxes[i].anchor;
        float *marks = tody_points_at(p, points, i);
        boxes[i].x0 = tody_cell(&rows, row, 0) * unit[0];
        boxes[i].y0 = tody_cell(&rows, row, 1) * unit[1];
        boxes[i].x1 = tody_cell(&rows, row, 2) * unit[0];
        boxes[i].y1 = tody_cell(&rows, row, 3) * unit[1];
        for (uint32_t k = 0; k < 2 * p->points; k++) {
            marks[k] = tody_cell(&rows, row, FIRST_POINT + k / 2 * PER_POINT + k % 2) * unit[k % 2];
        }
    }
    return tody_boxes_finite(boxes, points, p->points, list.count);
}

const tody_decoder tody_decoder_yolov10 = {"yolov10", check, run, TODY_NMS_NONE};
