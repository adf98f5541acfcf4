// ssd.c - SSD and its kin (RetinaFace, UltraFace): scores and boxes for a list of anchors.
// SPDX-License-Identifier: Apache-2.0
//
// With anchors: centre = anchor centre + box_xy * variance * anchor size, size = anchor size * exp(box_wh * variance) (Liu et
// al. 2016). Points are relative to the anchor in the same way, with the first two variances. Without: corners as they are.
#include "decode.h"
#include "kernels/portable/math.h"

typedef struct head {
    tody_cells scores, boxes, points;
} head;

static uint32_t extra_column(const tody_decoder_params *p) {
    return p->flags & (TODY_DECODE_SOFTMAX | TODY_DECODE_BACKGROUND) ? 1 : 0;
}

static head head_of(const tody_decoder_params *p, const tody_decoder_input *in) {
    head h = {.scores = tody_cells_of(&in[0], p->classes + extra_column(p)), .boxes = tody_cells_of(&in[1], 4)};
    if (p->points) h.points = tody_cells_of(&in[2], 2 * p->points);
    return h;
}

static const char *check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    const char *fault = tody_decode_check(p);
    if (fault) return fault;
    if (in_count != (p->points ? 3 : 2)) return TODY_COUNT_FAULT;
    head h = head_of(p, in);
    if (!h.scores.count || h.boxes.count != h.scores.count) return TODY_FIT_FAULT;
    if (p->points && h.points.count != h.scores.count) return TODY_FIT_FAULT;
    if (!p->anchor_count) return NULL;
    if (p->anchor_columns != 4) return "the anchors must be rows of cx, cy, w, h";
    return p->anchor_count == h.scores.count ? NULL : "there must be one anchor for each box";
}

static void place(const tody_decoder_params *p, const head *h, tody_box *box, float *points) {
    uint32_t cell = box->anchor;
    bool fractions = p->flags & TODY_DECODE_NORMALIZED;
    float wide = fractions ? (float)p->width : 1.0f, high = fractions ? (float)p->height : 1.0f, v[4];
    uint32_t swap = p->flags & TODY_DECODE_Y_FIRST ? 1 : 0;
    for (uint32_t k = 0; k < 4; k++) v[k] = tody_cell(&h->boxes, cell, k ^ swap);
    float origin[2] = {0.0f, 0.0f}, unit[2] = {wide, high};  // of the points
    if (p->anchor_count) {
        const float *anchor = p->anchors + 4 * (size_t)cell;
        float w = anchor[2] * wide, h_ = anchor[3] * high;
        origin[0] = anchor[0] * wide;
        origin[1] = anchor[1] * high;
        unit[0] = p->variance[0] * w;
        unit[1] = p->variance[1] * h_;
        tody_box_set(box, origin[0] + v[0] * unit[0], origin[1] + v[1] * unit[1], w * exp_f32(v[2] * p->variance[2]),
                     h_ * exp_f32(v[3] * p->variance[3]));
    } else {
        box->x0 = v[0] * wide;
        box->y0 = v[1] * high;
        box->x1 = v[2] * wide;
        box->y1 = v[3] * high;
    }
    for (uint32_t k = 0; k < 2 * p->points; k++) {
        points[k] = origin[k % 2] + tody_cell(&h->points, cell, k ^ swap) * unit[k % 2];
    }
}

static uint32_t run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity) {
    (void)in_count;
    tody_candidates list = {.boxes = boxes, .capacity = capacity};
    head h = head_of(p, in);
    if (p->flags & TODY_DECODE_SOFTMAX) {
        tody_scan_softmax(&list, p, &h.scores, 0);
    } else {
        tody_cells scores = tody_cells_part(h.scores, 0, h.scores.count, extra_column(p));
        tody_scan(&list, p, &scores, NULL, 0);
    }
    for (uint32_t i = 0; i < list.count; i++) place(p, &h, &boxes[i], tody_points_at(p, points, i));
    return tody_boxes_finite(boxes, points, p->points, list.count);
}

const tody_decoder tody_decoder_ssd = {"ssd", check, run, TODY_NMS_BEST};
