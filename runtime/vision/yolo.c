// yolo.c - YOLO heads whose boxes are decoded by the model: YOLOv5, YOLOX, YOLOv8 and its successors.
// SPDX-License-Identifier: Apache-2.0
#include "yolo.h"

static tody_cells rows_of(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t first_class) {
    return tody_cells_of(in, first_class + p->classes + 3 * p->points);
}

const char *tody_yolo_check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count,
                            uint32_t first_class) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != 1) return TODY_COUNT_FAULT;
    return rows_of(p, in, first_class).count ? NULL : TODY_FIT_FAULT;
}

uint32_t tody_yolo_run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t first_class, tody_box *boxes,
                       float *points, uint32_t capacity) {
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    tody_cells rows = rows_of(p, in, first_class);
    tody_cells scores = tody_cells_part(rows, 0, rows.count, first_class), sureness = tody_cells_part(rows, 0, rows.count, 4);
    tody_scan(&list, p, &scores, first_class == 5 ? &sureness : NULL, 0);
    bool fractions = p->flags & TODY_DECODE_NORMALIZED;
    float wide = fractions ? (float)p->width : 1.0f, high = fractions ? (float)p->height : 1.0f;
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t cell = boxes[i].anchor, first_point = first_class + p->classes;
        tody_box_set(&boxes[i], tody_cell(&rows, cell, 0) * wide, tody_cell(&rows, cell, 1) * high,
                     tody_cell(&rows, cell, 2) * wide, tody_cell(&rows, cell, 3) * high);
        float *at = tody_points_at(p, points, i);
        for (uint32_t k = 0; k < p->points; k++) {
            at[2 * k] = tody_cell(&rows, cell, first_point + 3 * k) * wide;
            at[2 * k + 1] = tody_cell(&rows, cell, first_point + 3 * k + 1) * high;
        }
    }
    return tody_boxes_finite(boxes, points, p->points, list.count);
}

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    return tody_yolo_check(p, in, in_count, 4);
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    (void)in_count;
    return tody_yolo_run(p, in, 4, boxes, points, capacity);
}

const tody_decoder tody_decoder_yolov8 = {"yolov8", check, run, TODY_NMS_BEST};
