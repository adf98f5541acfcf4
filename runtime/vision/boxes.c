// boxes.c - order, suppress and place boxes.
// SPDX-License-Identifier: Apache-2.0
#include "decode.h"

bool tody_box_before(const tody_box *a, const tody_box *b) {
    if (a->score != b->score) return a->score > b->score;
    if (a->anchor != b->anchor) return a->anchor < b->anchor;
    return a->label < b->label;
}

static void move(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t from, uint32_t to) {
    boxes[to] = boxes[from];
    size_t values = points ? 2 * (size_t)points_per_box : 0;
    for (size_t i = 0; i < values; i++) points[to * values + i] = points[from * values + i];
}

static void swap(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t a, uint32_t b) {
    tody_box box = boxes[a];
    boxes[a] = boxes[b];
    boxes[b] = box;
    size_t values = points ? 2 * (size_t)points_per_box : 0;
    for (size_t i = 0; i < values; i++) {
        float value = points[a * values + i];
        points[a * values + i] = points[b * values + i];
        points[b * values + i] = value;
    }
}

void tody_box_sink(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t at, uint32_t count) {
    for (;;) {
        size_t child = 2 * (size_t)at + 1;
        if (child >= count) return;
        if (child + 1 < count && tody_box_before(&boxes[child], &boxes[child + 1])) child++;
        if (!tody_box_before(&boxes[at], &boxes[child])) return;
        swap(boxes, points, points_per_box, at, (uint32_t)child);
        at = (uint32_t)child;
    }
}

void tody_boxes_sort(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count) {
    for (uint32_t i = count / 2; i-- > 0;) tody_box_sink(boxes, points, points_per_box, i, count);
    for (uint32_t i = count; i-- > 1;) {
        swap(boxes, points, points_per_box, 0, i);
        tody_box_sink(boxes, points, points_per_box, 0, i);
    }
}

uint32_t tody_boxes_finite(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count) {
    uint32_t kept = 0;
    size_t values = points ? 2 * (size_t)points_per_box : 0;
    for (uint32_t i = 0; i < count; i++) {
        const tody_box *box = &boxes[i];
        bool sound =
            is_finite(box->score) && is_finite(box->x0) && is_finite(box->y0) && is_finite(box->x1) && is_finite(box->y1);
        for (size_t k = 0; k < values; k++) sound = sound && is_finite(points[i * values + k]);
        if (sound) move(boxes, points, points_per_box, i, kept++);
    }
    return kept;
}

static float smaller(float a, float b) { return a < b ? a : b; }
static float larger(float a, float b) { return a > b ? a : b; }
static float area(const tody_box *box) { return larger(box->x1 - box->x0, 0.0f) * larger(box->y1 - box->y0, 0.0f); }

static bool overlap(const tody_box *a, const tody_box *b, float iou) {
    float w = smaller(a->x1, b->x1) - larger(a->x0, b->x0), h = smaller(a->y1, b->y1) - larger(a->y0, b->y0);
    if (w <= 0.0f || h <= 0.0f) return false;
    float inner = w * h;
    return inner > iou * (area(a) + area(b) - inner);
}

uint32_t tody_nms(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, float iou, uint32_t agnostic,
                  uint32_t limit) {
    count = tody_boxes_finite(boxes, points, points_per_box, count);
    tody_boxes_sort(boxes, points, points_per_box, count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count && kept < limit; i++) {
        bool covered = false;
        for (uint32_t k = 0; k < kept && !covered; k++) {
            covered = (agnostic || boxes[k].label == boxes[i].label) && overlap(&boxes[k], &boxes[i], iou);
        }
        if (!covered) move(boxes, points, points_per_box, i, kept++);
    }
    return kept;
}

static float clip(float x, uint32_t end) { return smaller(larger(x, 0.0f), (float)end); }

void tody_boxes_to_frame(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, const tody_placement *at,
                         uint32_t width, uint32_t height) {
    for (uint32_t i = 0; i < count; i++) {
        tody_box *box = &boxes[i];
        box->x0 = clip((box->x0 - at->offset_x) / at->scale_x, width);
        box->x1 = clip((box->x1 - at->offset_x) / at->scale_x, width);
        box->y0 = clip((box->y0 - at->offset_y) / at->scale_y, height);
        box->y1 = clip((box->y1 - at->offset_y) / at->scale_y, height);
    }
    size_t values = points ? 2 * (size_t)points_per_box * count : 0;
    for (size_t i = 0; i < values; i += 2) {
        points[i] = (points[i] - at->offset_x) / at->scale_x;
        points[i + 1] = (points[i + 1] - at->offset_y) / at->scale_y;
    }
}
