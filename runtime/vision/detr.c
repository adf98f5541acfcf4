// detr.c - DETR and its successors: one box a query, each object once.
// SPDX-License-Identifier: Apache-2.0
//
// Scores are a softmax whose last column means no object (DETR), or sigmoids (Deformable DETR, RT-DETR). With neither flag they
// are taken as they are.
#include "decode.h"

static uint32_t columns(const tody_decoder_params *p) { return p->classes + (p->flags & TODY_DECODE_SOFTMAX ? 1 : 0); }

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != 2) return TODY_COUNT_FAULT;
    if (p->points) return "this decoder has no points";
    uint32_t queries = tody_cells_of(&in[0], columns(p)).count;
    return queries && tody_cells_of(&in[1], 4).count == queries ? NULL : TODY_FIT_FAULT;
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    (void)in_count;
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    tody_cells scores = tody_cells_of(&in[0], columns(p)), places = tody_cells_of(&in[1], 4);
    if (p->flags & TODY_DECODE_SOFTMAX) {
        tody_scan_softmax(&list, p, &scores, p->classes);
    } else {
        tody_scan(&list, p, &scores, NULL, 0);
    }
    bool fractions = p->flags & TODY_DECODE_NORMALIZED;
    float wide = fractions ? (float)p->width : 1.0f, high = fractions ? (float)p->height : 1.0f;
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t query = boxes[i].anchor;
        tody_box_set(&boxes[i], tody_cell(&places, query, 0) * wide, tody_cell(&places, query, 1) * high,
                     tody_cell(&places, query, 2) * wide, tody_cell(&places, query, 3) * high);
    }
    return tody_boxes_finite(boxes, points, 0, list.count);
}

const tody_decoder tody_decoder_detr = {"detr", check, run, TODY_NMS_NONE};
