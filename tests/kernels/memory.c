// memory.c - random values and guarded outputs.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { GUARDS = 16 };
enum { TINY = 12 << 23 };  // the bits of 2.4e-35

float *memory_floats(dice *r, size_t count) {
    float *x = memory_take(count * sizeof *x);
    random_fill(r, x, count);
    return x;
}

dice random_from(uint64_t seed) { return (dice){seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du}; }

// xorshift64*
static uint32_t next(dice *r) {
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 0x2545F4914F6CDD1Du) >> 32);
}

uint32_t random_below(dice *r, uint32_t end) { return (uint32_t)((uint64_t)next(r) * end >> 32); }
float random_float(dice *r) { return (float)(int32_t)next(r) * 4.6566129e-10f; }

window random_window(dice *r) {
    const uint32_t size = random_below(r, 2) ? 3 : 5;
    if (random_below(r, 2)) return (window){size, size, 1 + random_below(r, 2)};
    window w = {1 + random_below(r, 10), 1 + random_below(r, 8), 1};
    w.step += random_below(r, w.width);
    return w;
}

void random_fill(dice *r, float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = random_float(r);
}

// Both start with the same values, so that a kernel may also read what it overwrites.
output output_take(dice *r, size_t rows, size_t cols, size_t stride) {
    const size_t count = (rows - 1) * stride + cols;
    output o = {.rows = rows, .cols = cols, .stride = stride};
    o.got = memory_floats(r, count + GUARDS);
    o.want = memory_take((count + GUARDS) * sizeof(float));
    memcpy(o.want, o.got, (count + GUARDS) * sizeof(float));
    o.got += GUARDS;
    o.want += GUARDS;
    return o;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// Portable is taken at its word that it writes results only; so guards must be equal.
static bool guards_whole(const output *o) {
    if (memcmp(o->got - GUARDS, o->want - GUARDS, GUARDS * sizeof(float))) return wrong("wrote before the first row");
    for (size_t i = 0; i + 1 < o->rows; i++) {
        const size_t gap = i * o->stride + o->cols;
        if (memcmp(o->got + gap, o->want + gap, (o->stride - o->cols) * sizeof(float))) return wrong("wrote behind row %zu", i);
    }
    return true;
}

bool output_same(const output *o, const double *bounds) {
    for (size_t i = 0; i < o->rows * o->cols; i++) {
        const size_t at = i / o->cols * o->stride + i % o->cols;
        const float got = o->got[at], want = o->want[at];
        const bool same = bounds ? fabs((double)got - (double)want) <= bounds[i] : bits_of(got) == bits_of(want);
        if (!same) return wrong("row %zu col %zu: %.9g, portable %.9g", i / o->cols, i % o->cols, (double)got, (double)want);
    }
    return guards_whole(o);
}

// Position among all floats, so that neighbours differ by one. Subnormal numbers count as zero, and a little more does: ARMv7
// NEON flushes them inside a function too, before a factor of up to 1000.
static int64_t rank_of(float x) {
    const uint32_t bits = bits_of(x), magnitude = bits & 0x7FFFFFFFu;
    const int64_t rank = magnitude < TINY ? 0 : (int64_t)magnitude - (TINY - 1);
    return bits >> 31 ? -rank : rank;
}

bool output_within_ulps(const output *o, uint32_t ulps) {
    for (size_t i = 0; i < o->rows * o->cols; i++) {
        const size_t at = i / o->cols * o->stride + i % o->cols;
        const float got = o->got[at], want = o->want[at];
        const bool same = isnan(want) ? isnan(got) : !isnan(got) && llabs(rank_of(got) - rank_of(want)) <= ulps;
        if (!same) return wrong("element %zu: %.9g, portable %.9g", i, (double)got, (double)want);
    }
    return guards_whole(o);
}
