// tiles.c - a block of rows in panels of float32 weights, slice by slice of the depth, so that panels stay in the cache.
// SPDX-License-Identifier: Apache-2.0
//
// The loops are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008: a slice of the
// depth, a few panels of it, and all rows of the block, tile by tile.
#include "tiles.h"

#include "f16.h"
#include "shape.h"

enum {
    SLICE = 256,                  // of depth: with two panels 32 KiB, which stay in the first-level cache while the rows go by
    LONGEST = SLICE + SLICE / 2,  // that is not cut
};

// A part of the sums: so many taps, or so much of the depth of one tap.
typedef struct slice {
    uint32_t tap, taps, from, depth;
} slice;

// A slice of the panels from `panel` to `end`, which one call of the kernel takes.
typedef struct pass {
    slice slice;
    uint32_t panel, end;
    bool first;  // of its slice: rows are met for the first time
} pass;

bool tody_gemm_sliced(const tody_gemm *g) { return g->rows > 1 && (uint64_t)g->taps * g->depth > LONGEST; }

uint32_t tody_slice_values(uint32_t taps, uint32_t depth) {
    const uint32_t some = tody_min_u32(depth, LONGEST);
    return tody_min_u32(taps, LONGEST / some) * tody_div_up(some, 4) * 4;
}

// The slice that follows, the first one after none; its taps are 0 behind the last. Slices do not depend on the kernel set, nor
// do the bits of a result. A lone row meets its weights once and has no use for slices.
static slice next_slice(const tody_gemm *g, const slice *last) {
    if (!tody_gemm_sliced(g)) return (slice){0, last->taps ? 0 : g->taps, 0, g->depth};
    if (g->depth <= SLICE) {
        const uint32_t tap = last->tap + last->taps, parts = tody_div_up(g->taps, SLICE / g->depth);
        return (slice){tap, tody_min_u32(tody_div_up(g->taps, parts), g->taps - tap), 0, g->depth};
    }
    const uint32_t parts = tody_div_up(g->depth, SLICE), end = last->from + last->depth;
    const bool more = last->taps && end < g->depth;
    const uint32_t tap = more ? last->tap : last->tap + last->taps, from = more ? end : 0;
    return (slice){tap, tap < g->taps, from, tody_min_u32(tody_div_up(g->depth, parts), g->depth - from)};
}

// Of a weight.
static size_t weight_bytes(const tody_gemm *g) { return tody_gemm_is_f16(g) ? sizeof(uint16_t) : sizeof(float); }

// The weights of a slice in a panel.
static const void *weights_at(const tody_gemm *g, uint32_t panel, const slice *s) {
    const size_t step = (size_t)s->tap * g->depth + s->from;
    return (const uint8_t *)g->w + panel * g->w_stride_bytes + step * TODY_PANEL * weight_bytes(g);
}

// Multiplies a tile.
static void multiply(const tody_kernels *kernels, const tody_gemm *g, tody_gemm_f32 *args, uint32_t panel) {
    if (!tody_gemm_is_f16(g)) {
        kernels->gemm_f32(args);
        return;
    }
    args->scale = tody_f16_scale((const uint8_t *)g->w + panel * g->w_stride_bytes);
    kernels->f16->gemm(args);
}

// What the tiles of a pass shall have fetched: those of a first pass the rows of the next tile, where these follow in memory;
// of others `each` tiles a panel of the next pass, in equal shares, because an outer cache cannot give as fast as one tile
// could ask.
typedef struct wanted {
    const float *w;  // the first panel of the next pass, or NULL
    uint32_t each, all;
    size_t step, share;  // in elements: with each step in depth, of each tile
} wanted;

static wanted wanted_by(const tody_gemm *g, const pass *pass, const struct pass *next, const tody_tile *tiles, uint32_t count) {
    const slice *s = &next->slice;
    if (pass->first || s->taps == 0 || tody_gemm_is_f16(g))
        return (wanted){.w = NULL, .each = count, .step = tiles->rows / pass->slice.taps};
    const uint32_t panels = next->end - next->panel, each = tody_max_u32(count / panels, 1),
                   step = tody_div_up(TODY_PANEL, each);
    return (wanted){weights_at(g, next->panel, s), each, each * panels, step, (size_t)s->taps * s->depth * step};
}

static const float *wanted_at(const wanted *soon, size_t w_stride, const tody_tile *tiles, uint32_t index, uint32_t count) {
    if (!soon->w) return tiles[index + 1 < count ? index + 1 : index].a[0];
    const uint32_t at = tody_min_u32(index, soon->all - 1);
    return soon->w + at / soon->each * w_stride + at % soon->each * soon->share;
}

// Whether a tile sees nothing but padding in a slice: most do where taps are far apart and the image is small.
static bool is_outside(const tody_gemm *g, const slice *s, const tody_tile *t) {
    const void **a = t->a + (size_t)s->tap * t->rows, *const *end = a + (size_t)s->taps * t->rows;
    const void *zeros = (const float *)g->outside + s->from;
    while (a < end && *a == zeros) a++;
    return a == end;
}

// How many tiles from tile i on one call takes: of one form, and which have the same panel fetched.
static uint32_t count_together(const tody_tile *tiles, uint32_t i, uint32_t count, uint32_t each) {
    uint32_t end = i + 1;
    while (end < count && end % each != 0 && tiles[end].rows == tiles[i].rows && tiles[end].joined == tiles[i].joined) end++;
    return end - i;
}

// From what a kernel reads of a tile to that of the next one, which has as many rows: in pointers, or in packed values.
static size_t tile_step(const tody_kernels *kernels, const tody_gemm *g, uint32_t rows) {
    return (size_t)rows * (tody_packs_f32(kernels) ? tody_slice_values(g->taps, g->depth) : g->taps);
}

// A block of rows in the panels of a pass, which stay in cache while the rows go by. The first slice begins with the bias, all
// others with what is there; the last one ends in the activation.
static void run_pass(const tody_kernels *kernels, const tody_gemm *g, const pass *pass, const struct pass *next,
                     const tody_tile *tiles, uint32_t count) {
    const slice *s = &pass->slice;
    const wanted soon = wanted_by(g, pass, next, tiles, count);
    const uint32_t column = pass->panel * TODY_PANEL;
    const bool head = s->tap == 0 && s->from == 0, tail = s->tap + s->taps == g->taps && s->from + s->depth == g->depth;
    const bool padded = !head && !tail && g->outside;  // so that a tile may be left out
    const float *addend = head ? g->addend : g->c;
    const size_t addend_stride = head ? g->addend_stride : g->c_stride;
    tody_gemm_f32 args = {
        .cols = tody_min_u32(g->cols, pass->end * TODY_PANEL) - column,
        .w = weights_at(g, pass->panel, s),
        .w_stride = g->w_stride_bytes / weight_bytes(g),
        .next_step = soon.step,
        .bias = g->bias && head ? (const float *)g->bias + column : NULL,
        .addend_stride = addend_stride,
        .c_stride = g->c_stride,
        .lo = tail ? tody_low(&g->activation) : -__builtin_inff(),
        .hi = tail ? tody_high(&g->activation) : __builtin_inff(),
    };
    for (uint32_t i = 0, together; i < count; i += together) {
        const tody_tile *t = &tiles[i];
        together = padded || tody_gemm_is_f16(g) ? 1 : count_together(tiles, i, count, soon.each);
        if (padded && is_outside(g, s, t)) continue;
        args.rows = t->rows;
        args.more = together - 1;
        args.a_step = tile_step(kernels, g, t->rows);
        args.taps = s->taps / t->joined;
        args.depth = s->depth * t->joined;
        args.a = (const float *const *)t->a + (size_t)s->tap * t->rows;
        args.packed = t->work;
        args.packed_rows = t->rows;
        args.next = wanted_at(&soon, args.w_stride, tiles, i, count);
        args.c = (float *)g->c + t->first * g->c_stride + column;
        args.addend = addend ? addend + t->first * addend_stride + column : NULL;
        multiply(kernels, g, &args, pass->panel);
    }
}

// The rows of a slice in the kernel set's form.
static void pack_slice(const tody_kernels *kernels, const tody_gemm *g, const slice *s, const tody_tile *tiles,
                       uint32_t count) {
    void (*pack_rows)(const tody_pack_f32 *args) = tody_gemm_is_f16(g) ? kernels->f16->pack : kernels->pack_f32;
    for (const tody_tile *t = tiles; t < tiles + count; t++) {
        const float *const *a = (const float *const *)t->a + (size_t)s->tap * t->rows;
        const tody_pack_f32 pack = {t->rows, s->taps / t->joined, s->depth * t->joined, a, {t->work}};
        pack_rows(&pack);
    }
}

// The pointers of one tap go `depth` values ahead.
static void advance(const tody_tile *tiles, uint32_t count, uint32_t tap, uint32_t depth) {
    for (const tody_tile *t = tiles; t < tiles + count; t++) {
        const void **a = t->a + (size_t)tap * t->rows;
        for (uint32_t i = 0; i < t->rows; i++) a[i] = (const float *)a[i] + depth;
    }
}

// Panels that a call takes: of a shallow slice more, if the kernel set can.
static uint32_t panels_of(const tody_kernels *kernels, const tody_gemm *g, const slice *s) {
    const size_t bytes = (size_t)s->taps * s->depth * TODY_PANEL * sizeof(float);
    if (!TODY_PACKS_F32 || bytes == 0 || tody_gemm_is_f16(g)) return kernels->gemm_f32_panels;
    return tody_max_u32(kernels->gemm_f32_panels, (uint32_t)(kernels->gemm_f32_bytes / bytes));
}

// All panels of a slice, then those of the next slice.
static pass next_pass(const tody_kernels *kernels, const tody_gemm *g, const pass *last, uint32_t panel, uint32_t end) {
    const bool more = last->end < end;
    const uint32_t first = more ? last->end : panel;
    const slice s = more ? last->slice : next_slice(g, &last->slice);
    return (pass){s, first, tody_min_u32(first + panels_of(kernels, g, &s), end), !more};
}

// A lone row meets its weights once, and is not packed: all panels, and nothing to fetch for others.
static void run_row(const tody_kernels *kernels, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *row) {
    const size_t from = (size_t)panel * TODY_PANEL;
    const slice all = {0, g->taps, 0, g->depth};
    const uint32_t together = kernels->gemm_f32_panels;
    tody_gemm_f32 args = {
        .rows = 1,
        .taps = g->taps / row->joined,
        .depth = g->depth * row->joined,
        .a = (const float *const *)row->a,
        .w_stride = g->w_stride_bytes / weight_bytes(g),
        .next = row->a[0],
        .bias = g->bias ? (const float *)g->bias + from : NULL,
        .addend = g->addend ? (const float *)g->addend + row->first * g->addend_stride + from : NULL,
        .c = (float *)g->c + row->first * g->c_stride + from,
        .lo = tody_low(&g->activation),
        .hi = tody_high(&g->activation),
    };
    for (uint32_t p = panel; p < end; p += together) {
        args.cols = tody_min_u32(g->cols, tody_min_u32(p + together, end) * TODY_PANEL) - p * TODY_PANEL;
        args.w = weights_at(g, p, &all);
        multiply(kernels, g, &args, p);
        args.c += together * TODY_PANEL;
        if (args.bias) args.bias += together * TODY_PANEL;
        if (args.addend) args.addend += together * TODY_PANEL;
    }
}

void tody_gemm_tiles(const tody_kernels *kernels, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *tiles,
                     uint32_t count) {
    if (g->rows == 1) {
        run_row(kernels, g, panel, end, tiles);
        return;
    }
    const pass none = {.end = end};
    pass p = next_pass(kernels, g, &none, panel, end);
    while (p.slice.taps) {
        const pass next = next_pass(kernels, g, &p, panel, end);
        if (p.first && TODY_PACKS_F32 && tiles->work) pack_slice(kernels, g, &p.slice, tiles, count);
        run_pass(kernels, g, &p, &next, tiles, count);
        if (p.end == end && p.slice.depth < g->depth) advance(tiles, count, p.slice.tap, p.slice.depth);
        p = next;
    }
}
