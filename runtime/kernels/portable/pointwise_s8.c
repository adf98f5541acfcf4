// pointwise_s8.c - int8 element by element, so that compilers vectorise it: other sets compile it for their instructions.
// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>
#include <string.h>

#include "core/format.h"
#include "portable.h"

enum { LANES = 64 };  // of a block: its results stand aside until all are there, because they may overwrite what they are of

#define INLINE static inline __attribute__((always_inline))  // what is the same for all elements is a constant after inlining

INLINE int8_t apply(const tody_binary_s8 *b, const uint32_t fn2, int8_t x, int8_t y) {
    switch (fn2) {
        case TODY_FN2_MIN: return x < y ? x : y;
        case TODY_FN2_MAX: return x > y ? x : y;
        case TODY_FN2_MUL: return tody_finish((float)((x - b->x_zero) * (y - b->y_zero)) * b->x_scale, &b->finish);
        default: break;
    }
    const float p = (float)(x - b->x_zero) * b->x_scale, q = (float)(y - b->y_zero) * b->y_scale;
    return tody_finish(fn2 == TODY_FN2_ADD ? p + q : p - q, &b->finish);
}

INLINE void map(const tody_binary_s8 *args, const uint32_t fn2, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    const tody_binary_s8 b = *args;
    int8_t some_x[LANES] = {0}, some_y[LANES] = {0}, block[LANES];
    for (size_t at = 0; at < count; at += LANES) {
        const size_t n = count - at < LANES ? count - at : LANES;
        const bool whole = n == LANES;
        const int8_t *p = whole ? x + at : memcpy(some_x, x + at, n), *q = whole ? y + at : memcpy(some_y, y + at, n);
        for (size_t i = 0; i < LANES; i++) block[i] = apply(&b, fn2, p[i], q[i]);
        if (whole)
            memcpy(z + at, block, LANES);
        else
            memcpy(z + at, block, n);
    }
}

void tody_portable_binary_s8(const tody_binary_s8 *b, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    switch (b->fn2) {
        case TODY_FN2_ADD: map(b, TODY_FN2_ADD, x, y, z, count); break;
        case TODY_FN2_SUB: map(b, TODY_FN2_SUB, x, y, z, count); break;
        case TODY_FN2_MUL: map(b, TODY_FN2_MUL, x, y, z, count); break;
        case TODY_FN2_MIN: map(b, TODY_FN2_MIN, x, y, z, count); break;
        default: map(b, TODY_FN2_MAX, x, y, z, count); break;
    }
}
