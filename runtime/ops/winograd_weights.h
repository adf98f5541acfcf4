// winograd_weights.h - the weights of Winograd's convolution, in the phases of a window that moves by more than 1.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_WEIGHTS_H
#define TODY_OPS_WINOGRAD_WEIGHTS_H

#include "winograd.h"

// What one phase of the image meets: the taps of the window from (y, x) on, step by step.
typedef struct tody_phase {
    uint32_t y, x;
    uint32_t down, across;  // taps, some less than other phases have, perhaps; at least 1
} tody_phase;

static inline uint32_t tody_phases(const tody_tiling *t) { return t->step * t->step; }

static inline tody_phase tody_phase_of(const tody_tiling *t, uint32_t i) {
    const uint32_t y = i / t->step, x = i % t->step;
    return (tody_phase){y, x, tody_div_up(t->kernel - y, t->step), tody_div_up(t->kernel - x, t->step)};
}

// Where the transformed weights of a phase are in a panel: those of the first position, and how far it is to the next line of
// positions, and within a line; 0 where all points have the same, those of a single tap.
typedef struct tody_positions {
    size_t first, down, right;
    bool together;  // those of all phases are neighbours at each position, so all points have their own
} tody_positions;

// Of phase i: a position of it alone takes `stride`. Phases are together where they are of little depth.
tody_positions tody_phase_positions(const tody_tiling *t, uint32_t i, uint32_t depth, size_t stride);

enum { TODY_TOGETHER = 128 };  // depth up to which all phases are one product: shorter ones cost more than they multiply

static inline bool tody_are_together(const tody_tiling *t, uint32_t depth) {
    return t->step > 1 && depth <= TODY_TOGETHER / tody_phases(t);
}

// Whether the phases of an image of so many channels are made one pixel first: winograd_fold.h. Whole vectors of all kernel
// sets are put side by side as they are.
static inline bool tody_is_folded(const tody_tiling *t, uint32_t depth) {
    return tody_are_together(t, depth) && depth % 4 != 0;
}

// Weights as they are, of all phases.
typedef struct tody_filters {
    const float *w;  // panels
    const tody_kernels *kernels;
    tody_tiling tiling;
    uint32_t depth;
} tody_filters;

// Transforms those of a panel and phase i, from k on so many, to what is in u a panel with such a stride.
void tody_winograd_transform(const tody_filters *f, uint32_t panel, uint32_t i, uint32_t k, uint32_t depth, float *u,
                             size_t stride);

// Floats from one panel of prepared weights of a position to the next.
size_t tody_position_stride(bool f16, uint32_t depth);

// Floats of a panel of all that is prepared.
size_t tody_winograd_panel(const tody_tiling *t, uint32_t depth, size_t stride);

#endif
