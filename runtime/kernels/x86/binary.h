// binary.h - functions of two float32; remainders and powers are portable.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_BINARY_H
#define TODY_X86_BINARY_H

#include "core/format.h"
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/math.h"

#define INLINE static inline __attribute__((always_inline))

INLINE vector least(vector x, vector y) { return choose(either(below(x, y), is_nan(x)), x, y); }
INLINE vector greatest(vector x, vector y) { return choose(either(below(y, x), is_nan(x)), x, y); }
INLINE vector prelu(vector x, vector y) { return choose(below(x, all(0.0f)), mul(x, y), x); }

// Two rows of operands; step 0 repeats the first.
typedef struct operands {
    const float *x, *y;
    size_t x_step, y_step, count;
    float lo, hi;
} operands;

// Inlined with its function.
INLINE void map(vector (*fn)(vector, vector), const operands *o, float *z) {
    const vector lo = all(o->lo), hi = all(o->hi);
    vector x = all(*o->x), y = all(*o->y);
    size_t i = 0;
    for (; i + WIDTH <= o->count; i += WIDTH) {
        if (o->x_step) x = load(o->x + i);
        if (o->y_step) y = load(o->y + i);
        store(z + i, clamp(fn(x, y), lo, hi));
    }
    if (i == o->count) return;
    const mask m = first(o->count - i);
    if (o->x_step) x = load_some(o->x + i, m);
    if (o->y_step) y = load_some(o->y + i, m);
    store_some(z + i, m, clamp(fn(x, y), lo, hi));
}

static inline void binary_f32(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z,
                              size_t count, float lo, float hi) {
    const operands o = {x, y, x_step, y_step, count, lo, hi};
    switch (fn2) {
        case TODY_FN2_ADD: map(add, &o, z); break;
        case TODY_FN2_SUB: map(sub, &o, z); break;
        case TODY_FN2_MUL: map(mul, &o, z); break;
        case TODY_FN2_DIV: map(divide, &o, z); break;
        case TODY_FN2_MIN: map(least, &o, z); break;
        case TODY_FN2_MAX: map(greatest, &o, z); break;
        case TODY_FN2_PRELU: map(prelu, &o, z); break;
        default: tody_kernels_portable.binary_f32(fn2, x, x_step, y, y_step, z, count, lo, hi); break;
    }
}

#endif
