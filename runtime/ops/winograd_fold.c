// winograd_fold.c - space to depth: step x step pixels of few channels become one pixel, over which a window moves by 1.
// SPDX-License-Identifier: Apache-2.0
//
// The phases of an image of three channels, as first layers have them, do not fill vectors, and each alone would be too short a
// product. Folded, they are one image of many channels, padded so that only tiles that begin an output earlier reach out of it:
// for these a pixel of zeros is behind the image. Taps that a phase lacks are zeros among the weights.
#include "winograd_fold.h"

#include "winograd_weights.h"

typedef struct folding {
    const tody_slide *slide;
    uint32_t step;
    uint32_t height, width, depth;  // of a folded image
    float *to;
} folding;

// The height or width of a folded image, for so many outputs.
static uint32_t side_of(const tody_tiles *g, uint32_t outputs) {
    return tody_div_up(outputs, g->tile) * g->tile + g->edge - g->tile;
}

uint64_t tody_fold_bytes(const tody_tiles *g, const tody_tiling *t, uint32_t depth) {
    if (!tody_is_folded(t, depth)) return 0;
    const uint64_t pixels = (uint64_t)side_of(g, g->height) * side_of(g, g->width) * g->images;
    return (pixels + 1) * tody_phases(t) * depth * sizeof(float);
}

// `count` floats from `at` on of a line of so many; zeros outside of it, and where `at` is below 0, modulo 2^n.
static void copy(float *to, const float *line, size_t floats, size_t at, size_t count) {
    if (at < floats && count <= floats - at) {
        for (size_t k = 0; k < count; k++) to[k] = line[at + k];
        return;
    }
    for (size_t k = 0; k < count; k++) to[k] = at + k < floats ? line[at + k] : 0.0f;
}

// Line `line` of the folded images: of each pixel, one line of its block after the other.
static void fold_line(void *context, uint32_t line, uint32_t thread) {
    (void)thread;
    const folding *f = context;
    const tody_slide *s = f->slide;
    const size_t block = (size_t)f->step * s->channels, pad = (size_t)s->window.pad[1] * s->channels;
    const size_t width = (size_t)s->width * s->channels, image = (size_t)(line / f->height) * s->height;
    for (uint32_t i = 0; i < f->step; i++) {
        const uint32_t y = line % f->height * f->step + i - s->window.pad[0];  // modulo 2^32 above the image
        const size_t floats = y < s->height ? width : 0;
        const float *from = (const float *)(const void *)s->x + (floats ? (image + y) * width : 0);
        float *to = f->to + (size_t)line * f->width * f->depth + i * block;
        for (size_t at = 0; at < f->width * block; at += block, to += f->depth) copy(to, from, floats, at - pad, block);
    }
}

void tody_fold(tody_winograd_job *job, tody_folded *folded, void *memory) {
    const tody_tiles *g = &job->tiles;
    const tody_tiling *t = &job->tiling;
    const uint32_t depth = tody_phases(t) * job->gemm->depth, taps = tody_phase_of(t, 0).down;
    folding f = {job->slide, t->step, side_of(g, g->height), side_of(g, g->width), depth, memory};
    float *outside = f.to + (size_t)g->images * f.height * f.width * depth;
    for (uint32_t k = 0; k < depth; k++) outside[k] = 0.0f;
    tody_for(job->call, g->images * f.height, fold_line, &f);
    *folded = (tody_folded){*job->gemm, *job->slide};
    folded->gemm.depth = depth;
    folded->slide.x = memory;
    folded->slide.outside = outside;
    folded->slide.window = (tody_window){.kernel = {taps, taps}, .stride = {1, 1}, .dilation = {1, 1}};
    folded->slide.height = f.height;
    folded->slide.width = f.width;
    folded->slide.channels = depth;
    folded->slide.pixel_bytes = depth * sizeof(float);
    job->gemm = &folded->gemm;
    job->slide = &folded->slide;
    job->tiling.kernel = taps;
    job->tiling.step = 1;
}
