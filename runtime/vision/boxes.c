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
        // 0 times what is not finite is no number, and no sum makes it one again
        float zero = 0.0f * box->score + 0.0f * box->x0 + 0.0f * box->y0 + 0.0f * box->x1 + 0.0f * box->y1;
        for (size_t k = 0; k < values; k++) zero += 0.0f * points[i * values + k];
        if (zero == 0.0f) move(boxes, points, points_per_box, i, kept++);
    }
    return kept;
}

static float smaller(float a, float b) { return a < b ? a : b; }
static float larger(float a, float b) { return a > b ? a : b; }
static float area(const tody_box *box) { return larger(box->x1 - box->x0, 0.0f) * larger(box->y1 - box->y0, 0.0f); }

// Intersection over union where it is more than `iou`; else 0.
static float overlap(const tody_box *a, const tody_box *b, float iou) {
    float w = smaller(a->x1, b->x1) - larger(a->x0, b->x0), h = smaller(a->y1, b->y1) - larger(a->y0, b->y0);
    if (w <= 0.0f || h <= 0.0f) return 0.0f;
    float inner = w * h, whole = area(a) + area(b) - inner;
    return inner > iou * whole ? inner / whole : 0.0f;
}

static float weight_of(const tody_box *box) { return larger(box->score - TODY_WEIGHTED_FLOOR, 0.0f); }

static void pull(float *to, float from, float share) { *to += (from - *to) * share; }

static void pull_box(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t to, uint32_t from, float share) {
    pull(&boxes[to].x0, boxes[from].x0, share);
    pull(&boxes[to].y0, boxes[from].y0, share);
    pull(&boxes[to].x1, boxes[from].x1, share);
    pull(&boxes[to].y1, boxes[from].y1, share);
    size_t values = points ? 2 * (size_t)points_per_box : 0;
    for (size_t i = 0; i < values; i++) pull(&points[to * values + i], points[from * values + i], share);
}

// Take the boxes that show the same object as boxes[at] out of those behind it; returns how many are left in all.
static uint32_t gather(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t at, uint32_t count,
                       const tody_suppression *how) {
    const tody_box best = boxes[at];
    float total = weight_of(&best);
    uint32_t left = at + 1;
    for (uint32_t i = left; i < count; i++) {
        bool alike = how->agnostic || boxes[i].label == best.label;
        float shared = alike ? overlap(&best, &boxes[i], how->iou) : 0.0f;
        if (shared == 0.0f) {
            if (i != left) move(boxes, points, points_per_box, i, left);
            left++;
            continue;
        }
        // in full from half way between the threshold and 1
        float weight = weight_of(&boxes[i]) * smaller(2.0f * (shared - how->iou) / (1.0f - how->iou), 1.0f);
        if (!how->weighted || weight == 0.0f) continue;
        total += weight;
        pull_box(boxes, points, points_per_box, at, i, weight / total);
    }
    return left;
}

uint32_t tody_nms(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, const tody_suppression *how) {
    count = tody_boxes_finite(boxes, points, points_per_box, count);
    tody_boxes_sort(boxes, points, points_per_box, count);
    uint32_t kept = 0;
    for (; kept < count && kept < how->limit && boxes[kept].score >= how->score; kept++) {
        count = gather(boxes, points, points_per_box, kept, count, how);
    }
    // the mean of two very large values may not be finite
    return tody_boxes_finite(boxes, points, points_per_box, kept);
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
