// blend.c - a weighted sum of rows.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "portable.h"

#define BLOCK 64u

void tody_portable_blend_f32(const float *const *a, const float *w, uint32_t taps, float *y, size_t count) {
    float sums[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        for (size_t i = 0; i < n; i++) sums[i] = a[0][at + i] * w[0];
        for (uint32_t t = 1; t < taps; t++)
            for (size_t i = 0; i < n; i++) sums[i] += a[t][at + i] * w[t];
        memcpy(y + at, sums, n * sizeof *y);
    }
}
