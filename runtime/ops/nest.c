// nest.c - loops that operators share.
// SPDX-License-Identifier: Apache-2.0
#include "nest.h"

#include "shape.h"

enum { TASKS_PER_THREAD = 4 };

typedef struct ranges {
    tody_range range;
    const void *context;
    uint32_t count, grain, tasks;
} ranges;

// Where task i begins.
static uint32_t begin_of(const ranges *r, uint32_t i) {
    if (i == r->tasks) return r->count;
    return tody_share(tody_div_up(r->count, r->grain), i, r->tasks) * r->grain;
}

static void run_range(void *context, uint32_t task, uint32_t thread) {
    const ranges *r = context;
    r->range(r->context, begin_of(r, task), begin_of(r, task + 1), thread);
}

void tody_for_ranges(const tody_call *call, uint32_t count, uint32_t grain, tody_range range, const void *context) {
    const uint32_t threads = tody_threads(call), grains = tody_div_up(count, grain);
    uint32_t tasks = tody_min_u32(grains, threads * TASKS_PER_THREAD);
    if (tasks > threads) tasks -= tasks % threads;
    if (threads == 1) tasks = 1;
    ranges ranges = {range, context, count, grain, tasks};
    tody_for(call, tasks, run_range, &ranges);
}

typedef struct stretches {
    tody_stretch stretch;
    const void *context;
    uint32_t length;  // of a row of slices; 0: there are none
    size_t x_pitch, y_pitch;
} stretches;

static void run_stretches(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    (void)thread;
    const stretches *s = context;
    if (s->length == 0) s->stretch(s->context, begin, begin, end - begin);
    for (uint32_t row = begin; s->length && row < end; row++)
        s->stretch(s->context, row * s->x_pitch, row * s->y_pitch, s->length);
}

void tody_for_stretches(const tody_call *call, const tody_tensor *x, const tody_tensor *y, tody_stretch stretch,
                        const void *context) {
    stretches s = {stretch, context, 0, x->pitch, y->pitch};
    if (tody_is_slice(x) || tody_is_slice(y)) s.length = y->shape[y->rank - 1];
    const uint32_t length = tody_max_u32(s.length, 1);
    tody_for_ranges(call, y->count / length, tody_div_up(TODY_GRAIN, length), run_stretches, &s);
}

tody_nest tody_nest_like(const tody_tensor *y) {
    tody_nest nest = {.rank = y->rank};
    for (uint32_t d = 0; d < y->rank; d++) nest.shape[d] = y->shape[d];
    return nest;
}

bool tody_nest_broadcast(tody_nest *nest, uint32_t k, const tody_tensor *x) {
    if (x->rank != nest->rank) return false;
    ptrdiff_t stride = 1;
    for (uint32_t d = x->rank; d-- > 0;) {
        if (x->shape[d] != nest->shape[d] && x->shape[d] != 1) return false;
        nest->stride[k][d] = x->shape[d] == 1 ? 0 : stride;
        stride *= (ptrdiff_t)(d + 1 == x->rank ? x->pitch : x->shape[d]);
    }
    return true;
}

// Whether dimension d can be walked together with the last one kept, `last`, which lies outside of it.
static bool can_merge(const tody_nest *nest, uint32_t last, uint32_t d) {
    for (uint32_t k = 0; k < 3; k++) {
        if (nest->stride[k][last] != nest->stride[k][d] * (ptrdiff_t)nest->shape[d]) return false;
    }
    return true;
}

void tody_nest_simplify(tody_nest *nest) {
    uint32_t kept = 0;
    for (uint32_t d = 0; d < nest->rank; d++) {
        if (nest->shape[d] == 1) continue;
        uint32_t shape = nest->shape[d], to = kept;
        if (kept && can_merge(nest, kept - 1, d)) {
            to = kept - 1;
            shape *= nest->shape[to];
        } else {
            kept++;
        }
        nest->shape[to] = shape;
        for (uint32_t k = 0; k < 3; k++) nest->stride[k][to] = nest->stride[k][d];
    }
    nest->rank = kept;
    if (kept == 0) *nest = (tody_nest){.rank = 1, .shape = {1}};
}

// Index and offsets of an element.
static void seek(const tody_nest *nest, uint32_t at, uint32_t index[TODY_MAX_RANK], ptrdiff_t offset[3]) {
    for (uint32_t k = 0; k < 3; k++) offset[k] = 0;
    for (uint32_t d = nest->rank; d-- > 0;) {
        index[d] = at % nest->shape[d];
        at /= nest->shape[d];
        for (uint32_t k = 0; k < 3; k++) offset[k] += (ptrdiff_t)index[d] * nest->stride[k][d];
    }
}

void tody_nest_seek(const tody_nest *nest, uint32_t at, ptrdiff_t offset[3]) {
    uint32_t index[TODY_MAX_RANK];
    seek(nest, at, index, offset);
}

// On to the next row, after `count` elements of this one.
static void advance(const tody_nest *nest, uint32_t count, uint32_t index[TODY_MAX_RANK], ptrdiff_t offset[3]) {
    uint32_t d = nest->rank - 1;
    index[d] += count;
    for (uint32_t k = 0; k < 3; k++) offset[k] += (ptrdiff_t)count * nest->stride[k][d];
    for (; d > 0 && index[d] == nest->shape[d]; d--) {
        index[d] = 0;
        index[d - 1]++;
        for (uint32_t k = 0; k < 3; k++) offset[k] += nest->stride[k][d - 1] - (ptrdiff_t)nest->shape[d] * nest->stride[k][d];
    }
}

void tody_nest_walk(const tody_nest *nest, uint32_t begin, uint32_t end, tody_row row, const void *context) {
    uint32_t index[TODY_MAX_RANK], inner = nest->rank - 1;
    ptrdiff_t offset[3];
    seek(nest, begin, index, offset);
    while (begin < end) {
        uint32_t count = tody_min_u32(nest->shape[inner] - index[inner], end - begin);
        row(context, offset, begin, count);
        begin += count;
        advance(nest, count, index, offset);
    }
}
