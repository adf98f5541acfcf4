// vision.c - hostile shapes, parameters, values and frames for runtime/vision, in buffers without a byte to spare.
// SPDX-License-Identifier: Apache-2.0
//
//     vision [cases] [seed]      default 200000 1
//
// Each case starts from outputs that fit their decoder; half of them then have a number changed. What `check` accepts must run
// inside its buffers and give finite boxes. Built with the sanitizers, which do the watching. Prints how many cases were
// accepted.
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tody.h"
#include "vision/decode.h"

#define MAX_OUTPUTS 16u
#define MAX_ELEMENTS (1u << 18)

typedef struct wish {
    uint32_t count, cells[MAX_OUTPUTS], channels[MAX_OUTPUTS];
} wish;

static uint64_t state;

static uint32_t below(uint32_t limit) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)((z >> 32) % limit);
}

static uint32_t hostile(void) {
    static const uint32_t values[] = {0,   1,   2,    3,    4,     5,        8,        16,       17,        18,
                                      255, 256, 4096, 8192, 65535, 1u << 16, 1u << 30, 1u << 31, UINT32_MAX};
    return values[below(sizeof values / sizeof *values)];
}

static float number(void) {
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e38f, -1e38f, 1e-40f, 1.0f, 0.5f, 89.0f, -104.0f};
    if (below(50) == 0) return odd[below(sizeof odd / sizeof *odd)];
    return (float)below(20001) / 2000.0f - 5.0f;
}

static uint32_t cells_of(const tody_decoder_params *p, uint32_t level) {
    uint32_t s = p->strides[level];
    return ((p->width + s - 1) / s) * ((p->height + s - 1) / s);
}

static uint32_t all_cells(const tody_decoder_params *p) {
    uint32_t cells = 0;
    for (uint32_t i = 0; i < p->stride_count; i++) cells += cells_of(p, i);
    return cells;
}

static void want(wish *w, uint32_t cells, uint32_t channels) {
    if (w->count == MAX_OUTPUTS) return;
    w->cells[w->count] = cells;
    w->channels[w->count++] = channels;
}

// Heads with distributions: in pairs, by level, or whole.
static wish wish_dfl(const tody_decoder_params *p, bool sides_first) {
    wish w = {0};
    uint32_t sides = 4 * p->bins, form = below(3);
    if (form == 2) want(&w, all_cells(p), p->classes + sides);
    for (uint32_t i = 0; i < p->stride_count && form < 2; i++) {
        if (form == 1) want(&w, cells_of(p, i), p->classes + sides);
        if (form == 0) want(&w, cells_of(p, i), sides_first ? sides : p->classes);
        if (form == 0) want(&w, cells_of(p, i), sides_first ? p->classes : sides);
    }
    return w;
}

static wish wish_yolo(tody_decoder_params *p, const char *name) {
    wish w = {0};
    uint32_t channels = p->classes + (strcmp(name, "yolov8") ? 5 : 4 + 3 * p->points);
    if (strcmp(name, "yolov8") && below(4)) p->points = 0;
    if (!strcmp(name, "yolov8") || below(2)) {
        p->stride_count = 0;
        want(&w, 1 + below(60), channels);
    } else if (!strcmp(name, "yolox") && below(2)) {
        want(&w, all_cells(p), channels);
    } else {
        uint32_t anchors = strcmp(name, "yolov5") ? 1 : p->anchor_count / p->stride_count;
        for (uint32_t i = 0; i < p->stride_count; i++) want(&w, cells_of(p, i), anchors * channels);
    }
    return w;
}

static wish wish_rows(tody_decoder_params *p, const char *name) {
    wish w = {0};
    uint32_t rows = 1 + below(60), extra = p->flags & TODY_DECODE_SOFTMAX ? 1 : 0;
    bool ssd = !strcmp(name, "ssd");
    if (ssd && p->flags & TODY_DECODE_BACKGROUND) extra = 1;
    if (ssd && p->anchor_count) rows = p->anchor_count;
    if (!ssd) p->points = 0;
    want(&w, rows, p->classes + extra);
    want(&w, rows, 4);
    if (p->points) want(&w, rows, 2 * p->points);
    return w;
}

static wish wish_blazeface(tody_decoder_params *p) {
    wish w = {0};
    uint32_t rows = all_cells(p) * (1 + below(2)), cut = rows > 1 && below(2) ? 1 + below(rows - 1) : rows;
    p->classes = 1;
    want(&w, cut, 1);
    want(&w, cut, 4 + 2 * p->points);
    if (cut == rows) return w;
    want(&w, rows - cut, 1);
    want(&w, rows - cut, 4 + 2 * p->points);
    return w;
}

static wish wish_maps(tody_decoder_params *p, const char *name) {
    wish w = {0};
    p->stride_count = 1;
    if (!strcmp(name, "centernet")) {
        p->points = 0;
    } else {
        p->classes = 1;
    }
    want(&w, cells_of(p, 0), p->classes);
    want(&w, cells_of(p, 0), 2);
    want(&w, cells_of(p, 0), 2);
    if (p->points) want(&w, cells_of(p, 0), 2 * p->points);
    return w;
}

static wish wish_of(tody_decoder_params *p, const char *name) {
    if (!strcmp(name, "nanodet") || !strcmp(name, "yolov8_raw")) {
        p->points = 0;
        return wish_dfl(p, name[0] == 'y');
    }
    if (!strcmp(name, "yolov10")) {
        wish w = {0};
        want(&w, 1 + below(60), 6 + 3 * p->points);
        return w;
    }
    if (name[0] == 'y') return wish_yolo(p, name);
    if (!strcmp(name, "blazeface")) return wish_blazeface(p);
    return name[0] == 'c' ? wish_maps(p, name) : wish_rows(p, name);
}

static void shape_of(tody_decoder_input *in, uint32_t cells, uint32_t channels) {
    uint32_t shapes[5][5] = {
        {1, cells, channels}, {1, channels, cells}, {1, channels, 1, cells}, {1, cells, 1, channels}, {cells, channels}};
    uint32_t form = below(5);
    in->rank = form == 4 ? 2 : form >= 2 ? 4 : 3;
    memcpy(in->shape, shapes[form], in->rank * sizeof(uint32_t));
}

static tody_decoder_params random_params(const char *name) {
    tody_decoder_params p = {
        .width = 1 + below(64), .height = 1 + below(64), .classes = 1 + below(6), .points = below(2) * below(8)};
    p.stride_count = 1 + below(4);
    for (uint32_t i = 0; i < p.stride_count; i++) p.strides[i] = 1u << (2 + below(4));
    p.bins = 1 + below(12);
    p.flags = below(64);
    if (!strcmp(name, "yolov5")) p.flags |= TODY_DECODE_SIGMOID;
    p.anchor_columns = strcmp(name, "ssd") ? 2 : 4;
    p.anchor_count = p.stride_count * (1 + below(3)) * below(4);
    for (uint32_t k = 0; k < 4; k++) p.variance[k] = number();
    p.score = (float)below(100) / 150.0f;
    return p;
}

static void mutate(tody_decoder_params *p, tody_decoder_input *in, uint32_t *in_count) {
    uint32_t *fields[] = {&p->width,       &p->height,      &p->classes,     &p->points,         &p->stride_count,
                          &p->strides[0],  &p->strides[1],  &p->bins,        &p->anchor_columns, &p->flags,
                          in_count,        &in[0].rank,     &in[0].shape[0], &in[0].shape[1],    &in[1].shape[1],
                          &in[0].shape[2], &in[1].shape[2], &in[2].shape[0]};
    uint32_t *field = fields[below(sizeof fields / sizeof *fields)];
    *field = below(2) ? hostile() : *field + below(3) - 1;
    if (below(8) == 0) p->score = number();
    if (*in_count > MAX_OUTPUTS) *in_count = MAX_OUTPUTS;
}

// Exactly the tensor's elements; NULL when they are too many for a test.
static float *values_of(const tody_decoder_input *in) {
    uint64_t elements = in->rank <= 6;
    for (uint32_t i = 0; i < in->rank && i < 6 && elements <= MAX_ELEMENTS; i++) elements *= in->shape[i];
    if (elements > MAX_ELEMENTS) return NULL;
    float *values = malloc(elements ? elements * sizeof(float) : 1);
    for (uint64_t i = 0; i < elements; i++) values[i] = number();
    return values;
}

static void fail(const char *what, const char *name) {
    fprintf(stderr, "%s: %s\n", name, what);
    abort();
}

static void run(const tody_decoder *decoder, const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count) {
    uint32_t capacity = below(3) ? below(80) : 1000;
    tody_box *boxes = malloc(capacity ? capacity * sizeof *boxes : 1);
    float *points = p->points ? malloc(capacity ? capacity * 2 * p->points * sizeof *points : 1) : NULL;
    uint32_t count = decoder->run(p, in, in_count, boxes, points, capacity);
    if (count > capacity) fail("more boxes than room", decoder->name);
    for (uint32_t i = 0; i < count; i++) {
        if (!(boxes[i].score >= p->score) || !isfinite(boxes[i].x0 + boxes[i].y1))
            fail("a box that should not be", decoder->name);
    }
    tody_suppression how = {below(4) ? (float)below(100) / 100.0f : number(), below(4) ? 0.0f : number(), below(2), below(2),
                            below(60)};
    count = tody_nms(boxes, points, p->points, count, &how);
    if (tody_boxes_finite(boxes, points, p->points, count) != count) fail("a mean that is not finite", decoder->name);
    tody_placement at = {number(), number(), number(), number()};
    tody_boxes_to_frame(boxes, points, p->points, count, &at, below(3000), below(3000));
    free(points);
    free(boxes);
}

static bool try_decoder(const tody_decoder *decoder) {
    tody_decoder_params p = random_params(decoder->name);
    tody_decoder_input in[MAX_OUTPUTS] = {0};
    wish w = wish_of(&p, decoder->name);
    for (uint32_t i = 0; i < w.count; i++) shape_of(&in[i], w.cells[i], w.channels[i]);
    float *anchors = malloc(p.anchor_count * 4 * sizeof(float) + 1);
    for (uint32_t i = 0; i < p.anchor_count * 4; i++) anchors[i] = number();
    p.anchors = anchors;
    if (below(2)) mutate(&p, in, &w.count);
    bool held = true;
    for (uint32_t i = 0; i < w.count; i++) held = (in[i].data = values_of(&in[i])) && held;
    bool good = !decoder->check(&p, in, w.count);
    if (good && held) run(decoder, &p, in, w.count);
    for (uint32_t i = 0; i < MAX_OUTPUTS; i++) free((void *)in[i].data);
    free(anchors);
    return good && held;
}

static bool try_frame(void) {
    static const uint32_t bytes[] = {3, 3, 1, 4, 4}, sizes[] = {0, 4, 1, 1};
    tody_preprocess p = {
        .width = 1 + below(40), .height = 1 + below(40), .fit = (tody_fit)below(4), .pixels = (tody_pixels)below(3)};
    p.planar = below(2);
    p.dtype = 1 + below(3);
    p.quant_scale = (float)below(100) / 50.0f;
    for (uint32_t c = 0; c < 3; c++) p.mean[c] = number(), p.scale[c] = number();
    tody_frame f = {.width = 1 + below(50), .height = 1 + below(50), .pixels = (tody_pixels)below(5)};
    f.row_bytes = (size_t)f.width * bytes[f.pixels] + below(5);
    uint32_t *fields[] = {&p.width, &p.height, &p.planar, &p.dtype, &f.width, &f.height};
    if (below(4) == 0) *fields[below(6)] = hostile();
    if (tody_preprocess_check(&p, &f)) return false;
    if ((uint64_t)p.width * p.height > MAX_ELEMENTS || f.row_bytes * f.height > MAX_ELEMENTS) return false;
    uint8_t *data = calloc(f.row_bytes * (f.height - 1) + (size_t)f.width * bytes[f.pixels], 1);
    f.data = data;
    void *tensor = malloc((size_t)p.width * p.height * (p.pixels == TODY_GRAY ? 1 : 3) * sizes[p.dtype]);
    void *scratch = malloc(tody_preprocess_scratch(&p));
    tody_placement at = tody_preprocess_run(&p, &f, tensor, scratch);
    if (!(at.scale_x > 0.0f && at.scale_y > 0.0f)) fail("a placement without scale", "preprocess");
    free(scratch);
    free(tensor);
    free(data);
    return true;
}

int main(int argc, char **argv) {
    unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000, kinds = 0, accepted = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    while (tody_decoders[kinds]) kinds++;
    unsigned long good[32] = {0};
    for (unsigned long i = 0; i < cases; i++) {
        unsigned long kind = i % (kinds + 1);
        good[kind] += kind < kinds ? try_decoder(tody_decoders[kind]) : try_frame();
    }
    for (unsigned long k = 0; k <= kinds; k++) {
        const char *name = k < kinds ? tody_decoders[k]->name : "preprocess";
        printf("%s %lu\n", name, good[k]);
        if (!good[k] && cases > 1000) fail("no case was accepted", name);
        accepted += good[k];
    }
    printf("%lu cases, %lu accepted, no finding\n", cases, accepted);
    return 0;
}
