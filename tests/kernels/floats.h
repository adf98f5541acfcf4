// floats.h - values, clamps and error bounds for the checks of float32 slots.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_KERNELS_FLOATS_H
#define TODY_TESTS_KERNELS_FLOATS_H

#include <math.h>

#include "check.h"

// Rounding errors of sums in two orders differ by about the root of the number of terms; the worst case would be the number.
static inline double bound_of(double magnitudes, size_t terms) {
    return ROUNDING * (4.0 + 2.0 * sqrt((double)terms)) * magnitudes;
}

// `count` pointers into a block of values, some of them to the same place and the last one to its very end.
static inline const float **pointers_take(dice *r, size_t count, size_t length) {
    const size_t block = length * 4 + 64;
    const float *values = memory_floats(r, block);
    const float **a = memory_take((count * sizeof *a + 7) / 8 * 8);
    for (size_t i = 0; i < count; i++) a[i] = values + random_below(r, (uint32_t)(block - length + 1));
    a[count - 1] = values + block - length;
    return a;
}

static inline void pick_clamp(dice *r, float *lo, float *hi) {
    const bool open = random_below(r, 2);
    *lo = open ? -INFINITY : -0.25f * (float)random_below(r, 4);
    *hi = open ? INFINITY : 0.5f + (float)random_below(r, 2);
}

#endif
