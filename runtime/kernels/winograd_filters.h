// winograd_filters.h - the transform of Winograd's filters, once for all sets: in vectors of them, whatever their width.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, UNROLL (6, or 1 to be short), the same of lines, UNROLL_LINES, vector,
// load(x), store_next(&p, step, x), which moves p on by `step` elements, all(x), add_product(x, y, sum) = sum + x * y and
// less_product(x, y, sum) = sum - x * y; AHEAD, how many elements ahead of their use filters are fetched, or 0; and BY_TWOS:
// whether lines are made two at a time, as points are, and stored at once. That meets all taps once for each two lines, and
// wants registers for these alone, not for a square of half-made lines.
#ifndef TODY_KERNELS_WINOGRAD_FILTERS_H
#define TODY_KERNELS_WINOGRAD_FILTERS_H

#include "winograd_points.h"

// Every second tap from g[first] on, of `taps`, times powers of a squared point.
INLINE vector power_sum(const uint32_t taps, const vector *g, const uint32_t first_tap, float square) {
    const uint32_t last = taps - 1 - (taps - 1 - first_tap) % 2;
    vector sum = g[last];
#pragma GCC unroll UNROLL
    for (uint32_t i = last; i > first_tap; i -= 2) sum = add_product(all(square), sum, g[i - 2]);
    return sum;
}

// What so many taps g of a line are at a pair of points.
typedef struct two {
    vector plus, minus;
} two;

INLINE two at_pair(const uint32_t edge, const uint32_t taps, const vector *g, const uint32_t pair) {
    const float point = edge == 4 ? 1.0f : pair ? b1 : a1, square = edge == 4 ? 1.0f : pair ? b2 : a2;
    const vector even = power_sum(taps, g, 0, square), odd = power_sum(taps, g, 1, square);
    return (two){add_product(all(point), odd, even), less_product(all(point), odd, even)};
}

// What they are at each point, to u and on.
INLINE void store_points(const uint32_t edge, const uint32_t taps, const vector *g, float *u, const size_t right) {
    store_next(&u, right, g[taps - 1]);
    store_next(&u, right, g[0]);
#pragma GCC unroll UNROLL
    for (uint32_t p = 0; p < (edge - 2) / 2; p++) {
        const two points = at_pair(edge, taps, g, p);
        store_next(&u, right, points.plus);
        store_next(&u, right, points.minus);
    }
}

// A vector of filters, whose taps are at i, to u. Where all points of a line or column are one, the last that is written
// stands.
INLINE void store_square(const tody_winograd_weights *f, const uint32_t edge, const uint32_t taps, size_t i, float *u) {
    vector half[EDGE][TAPS];
#pragma GCC unroll UNROLL_LINES
    for (uint32_t x = 0; x < taps; x++) {
        vector line[TAPS];
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < taps; y++) line[y] = load(f->w[y * taps + x] + i);
        half[0][x] = line[taps - 1];
        half[1][x] = line[0];
#pragma GCC unroll UNROLL
        for (uint32_t p = 0; p < (edge - 2) / 2; p++) {
            const two points = at_pair(edge, taps, line, p);
            half[2 + 2 * p][x] = points.plus;
            half[3 + 2 * p][x] = points.minus;
        }
    }
#pragma GCC unroll UNROLL_LINES
    for (uint32_t y = 0; y < edge; y++, u += f->u_down) store_points(edge, taps, half[y], u, f->u_right);
}

// The same, two lines after two: those at infinity and 0, and those at each pair of points.
INLINE void store_twos(const tody_winograd_weights *f, const uint32_t edge, const uint32_t taps, size_t i, float *u) {
    vector upper[TAPS], lower[TAPS];
#pragma GCC unroll UNROLL
    for (uint32_t step = 0; step < edge / 2; step++) {
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < taps; x++) {
            vector line[TAPS];
#pragma GCC unroll UNROLL
            for (uint32_t y = 0; y < taps; y++) line[y] = load(f->w[y * taps + x] + i);
            const two points = step ? at_pair(edge, taps, line, step - 1) : (two){line[taps - 1], line[0]};
            upper[x] = points.plus;
            lower[x] = points.minus;
        }
        store_points(edge, taps, upper, u, f->u_right);
        store_points(edge, taps, lower, u + f->u_down, f->u_right);
        u += 2 * f->u_down;
    }
}

// The taps are more streams than processors fetch by themselves: without this 512 x 512 filters of 3x3 from the outer cache
// take AVX2 five milliseconds on a Zen 3, with it one and a half.
INLINE void fetch_ahead(const float *const *w, const uint32_t taps, size_t i) {
    for (uint32_t t = 0; t < taps * taps; t++) __builtin_prefetch(w[t] + i + AHEAD);
}

INLINE void filters(const tody_winograd_weights *f, const uint32_t edge, const uint32_t taps) {
    const float *w[TAPS * TAPS];
    for (size_t t = 0; t < (size_t)taps * taps; t++) w[t] = f->w[t];
    tody_winograd_weights here = *f;
    here.w = w;
    const size_t count = f->depth * TODY_PANEL_F32;
    for (size_t i = 0; i < count; i += WIDTH) {
        if (AHEAD > 0 && i % TODY_PANEL_F32 == 0) fetch_ahead(w, taps, i);
        (BY_TWOS ? store_twos : store_square)(&here, edge, taps, i, here.u + i);
    }
}

// One lane alone is compiled once for all sizes.
static inline void winograd_weights(const tody_winograd_weights *f) {
    if (WIDTH == 1) {
        filters(f, f->edge, f->taps);
        return;
    }
    if (f->edge == 4) {
        f->taps == 2 ? filters(f, 4, 2) : filters(f, 4, 3);
        return;
    }
    switch (f->taps) {
        case 2: filters(f, 6, 2); break;
        case 3: filters(f, 6, 3); break;
        case 4: filters(f, 6, 4); break;
        default: filters(f, 6, 5);
    }
}

#endif
