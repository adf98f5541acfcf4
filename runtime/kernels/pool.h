// pool.h - largest value and scaled sum of gathered pixels, in vectors of channels and in the order of the portable kernels.
// SPDX-License-Identifier: Apache-2.0
//
// A set includes its vectors before this: x86/vector.h, neon/vector.h.
#ifndef TODY_KERNELS_POOL_H
#define TODY_KERNELS_POOL_H

#define INLINE static inline __attribute__((always_inline))

enum { VECTORS = 4 };

// A value that is not above the largest so far, as NaN never is, does not replace it.
INLINE vector largest(vector most, vector x) { return larger(x, most); }

// `count` vectors of channels from k on of pixel p, a single one if they are not whole. Inlined with all that is constant.
INLINE void pool_part(const tody_pool_f32 *args, vector (*fold)(vector, vector), uint32_t p, size_t k, uint32_t count,
                      bool whole) {
    const mask m = first(args->channels - k);
    const float *const *a = args->a + (size_t)p * args->taps;
    const bool sums = fold == add;
    vector v[VECTORS];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) v[i] = sums ? all(0.0f) : load_part(a[0] + k + i * WIDTH, whole, m);
    for (uint32_t t = sums ? 0 : 1; t < args->taps; t++) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) v[i] = fold(v[i], load_part(a[t] + k + i * WIDTH, whole, m));
    }
    const vector scale = all(sums ? args->scale[p] : 1.0f);
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++)
        store_part(args->c + p * args->c_stride + k + i * WIDTH, whole, m, sums ? mul(v[i], scale) : v[i]);
}

INLINE void pool(const tody_pool_f32 *args, vector (*fold)(vector, vector)) {
    for (uint32_t p = 0; p < args->pixels; p++) {
        size_t k = 0;
        for (; k + VECTORS * WIDTH <= args->channels; k += VECTORS * WIDTH) pool_part(args, fold, p, k, VECTORS, true);
        for (; k + WIDTH <= args->channels; k += WIDTH) pool_part(args, fold, p, k, 1, true);
        if (k < args->channels) pool_part(args, fold, p, k, 1, false);
    }
}

static inline void max_pool_f32(const tody_pool_f32 *args) { pool(args, largest); }
static inline void sum_pool_f32(const tody_pool_f32 *args) { pool(args, add); }

#endif
