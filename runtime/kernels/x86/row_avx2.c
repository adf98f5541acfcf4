// row_avx2.c - row.h for AVX2, and blend.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/row.h"

void tody_softmax_f32_avx2(const float *x, float *y, size_t count) { softmax_f32(x, y, count); }

void tody_moments_f32_avx2(const float *x, size_t count, float mean, float sums[2]) { moments_f32(x, count, mean, sums); }

INLINE lanes blend_of(const float *const *a, const float *w, uint32_t taps, size_t at, size_t count) {
    lanes sum = all_lanes(0.0f);
    for (uint32_t t = 0; t < taps; t++) {
        const lanes x = count < LANES ? load_rest(a[t] + at, count, 0.0f) : load_lanes(a[t] + at);
        const lanes v = fold(mul, x, all_lanes(w[t]));
        sum = t ? fold(add, sum, v) : v;
    }
    return sum;
}

void tody_blend_f32_avx2(const float *const *a, const float *w, uint32_t taps, float *y, size_t count) {
    size_t at = 0;
    for (; at + LANES <= count; at += LANES) store_lanes(y + at, blend_of(a, w, taps, at, LANES));
    if (at < count) store_rest(y + at, count - at, blend_of(a, w, taps, at, count - at));
}
