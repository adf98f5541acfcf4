// winograd_weights.c - weights for Winograd's convolution, transformed when a model is opened, or as they are met.
// SPDX-License-Identifier: Apache-2.0
#include "winograd_weights.h"

#include "f16.h"

enum { LACKING = 4 };  // of depth that is transformed together where a phase lacks taps

static uint32_t taps_of(const tody_tiling *t) { return t->edge + 1 - t->tile; }

static uint32_t positions_of(const tody_tiling *t) { return t->edge * t->edge; }

// Lines and columns of positions that a phase has weights for.
static uint32_t lines_of(const tody_tiling *t, uint32_t i) { return tody_phase_of(t, i).down > 1 ? t->edge : 1; }

static uint32_t columns_of(const tody_tiling *t, uint32_t i) { return tody_phase_of(t, i).across > 1 ? t->edge : 1; }

// Those of phases that are not together follow one another.
tody_positions tody_phase_positions(const tody_tiling *t, uint32_t i, uint32_t depth, size_t stride) {
    if (tody_are_together(t, depth)) {
        const size_t wide = tody_phases(t) * stride;
        return (tody_positions){i * stride, t->edge * wide, wide, true};
    }
    const uint32_t lines = lines_of(t, i), columns = columns_of(t, i);
    tody_positions at = {0, lines > 1 ? columns * stride : 0, columns > 1 ? stride : 0, false};
    for (uint32_t before = 0; before < i; before++) at.first += lines_of(t, before) * columns_of(t, before) * stride;
    return at;
}

size_t tody_position_stride(bool f16, uint32_t depth) {
    return (f16 ? tody_f16_panel_bytes(depth) : tody_panel_bytes(TODY_F32, 1, depth)) / sizeof(float);
}

size_t tody_winograd_panel(const tody_tiling *t, uint32_t depth, size_t stride) {
    if (tody_are_together(t, depth)) return (size_t)tody_phases(t) * positions_of(t) * stride;
    return tody_phase_positions(t, tody_phases(t) - 1, depth, stride).first +
           lines_of(t, tody_phases(t) - 1) * columns_of(t, tody_phases(t) - 1) * stride;
}

size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    if (tiling.fleeting) return 0;
    const uint64_t panels = tody_panels_length(w->shape[1]) / TODY_PANEL;
    const size_t stride = tody_position_stride(tody_f16_wanted(call, w), w->shape[3]);
    return tody_scratch_bytes(panels * tody_winograd_panel(&tiling, w->shape[3], stride) * sizeof(float));
}

// Taps that a phase lacks are zero.
void tody_winograd_transform(const tody_filters *f, uint32_t panel, uint32_t i, uint32_t k, uint32_t depth, float *u,
                             size_t stride) {
    static const float none[LACKING * TODY_PANEL];
    const tody_tiling *t = &f->tiling;
    const tody_phase phase = tody_phase_of(t, i);
    const uint32_t taps = taps_of(t), whole = phase.down == taps && phase.across == taps;
    const tody_positions at = tody_phase_positions(t, i, f->depth, stride);
    const size_t tap = (size_t)f->depth * TODY_PANEL;
    const float *first = f->w + (size_t)panel * t->kernel * t->kernel * tap,
                *w[TODY_MAX_WINOGRAD_TAPS * TODY_MAX_WINOGRAD_TAPS];
    tody_winograd_weights args = {.edge = t->edge, .taps = taps, .w = w, .u_down = at.down, .u_right = at.right};
    for (uint32_t done = 0; done < depth; done += args.depth) {
        args.depth = whole ? depth : tody_min_u32(depth - done, LACKING);
        args.u = u + at.first + (size_t)done * TODY_PANEL;
        for (uint32_t y = 0; y < taps; y++) {
            for (uint32_t x = 0; x < taps; x++) {
                const size_t number = (size_t)(phase.y + y * t->step) * t->kernel + phase.x + x * t->step;
                const bool lacks = y >= phase.down || x >= phase.across;
                w[y * taps + x] = lacks ? none : first + number * tap + (size_t)(k + done) * TODY_PANEL;
            }
        }
        f->kernels->winograd_weights_f32(&args);
    }
}

typedef struct preparation {
    tody_filters filters;
    float *u;
} preparation;

static void prepare_panel(void *context, uint32_t panel, uint32_t thread) {
    (void)thread;
    const preparation *p = context;
    const tody_tiling *t = &p->filters.tiling;
    const size_t stride = (size_t)p->filters.depth * TODY_PANEL;
    float *u = p->u + panel * tody_winograd_panel(t, p->filters.depth, stride);
    for (uint32_t i = 0; i < tody_phases(t); i++)
        tody_winograd_transform(&p->filters, panel, i, 0, p->filters.depth, u, stride);
}

// The same rounded to float16, of windows of one phase: columns of each position are scaled by themselves. Transformed twice,
// because nobody has memory for all of it in float32.
static void prepare_panel_f16(void *context, uint32_t panel, uint32_t thread) {
    (void)thread;
    const preparation *p = context;
    const tody_filters *f = &p->filters;

    const uint32_t positions = positions_of(&f->tiling), count = positions * TODY_PANEL;
    const size_t bytes = tody_f16_panel_bytes(f->depth);
    uint8_t *to = (uint8_t *)p->u + panel * positions * bytes;
    float u[TODY_MAX_WINOGRAD_EDGE * TODY_MAX_WINOGRAD_EDGE * TODY_PANEL];
    float factor[TODY_MAX_WINOGRAD_EDGE * TODY_MAX_WINOGRAD_EDGE * TODY_PANEL] = {0};
    for (uint32_t k = 0; k < f->depth; k++) {
        tody_winograd_transform(f, panel, 0, k, 1, u, TODY_PANEL);
        tody_f16_find_largest(u, factor, count);
    }
    for (uint32_t i = 0; i < positions; i++) tody_f16_factors(factor + i * TODY_PANEL, (float *)(void *)(to + i * bytes));
    for (uint32_t k = 0; k < f->depth; k++) {
        tody_winograd_transform(f, panel, 0, k, 1, u, TODY_PANEL);
        for (uint32_t i = 0; i < count; i++) u[i] *= factor[i];
        for (uint32_t i = 0; i < positions; i++) {
            uint16_t *values = (uint16_t *)(void *)(to + i * bytes + TODY_PANEL * sizeof(float));
            f->kernels->f16->round(u + i * TODY_PANEL, values + (size_t)k * TODY_PANEL, TODY_PANEL);
        }
    }
}

void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    preparation p = {{w->data, call->kernels, tiling, w->shape[3]}, (float *)(void *)call->prepared};
    tody_for(call, tody_div_up(w->shape[1], TODY_PANEL), tody_f16_wanted(call, w) ? prepare_panel_f16 : prepare_panel, &p);
}
