// binary_avx2.c - functions of two float32; remainders and powers are portable.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "math_avx2.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 least(__m256 x, __m256 y) { return choose(_mm256_or_ps(below(x, y), is_nan(x)), x, y); }
INLINE __m256 greatest(__m256 x, __m256 y) { return choose(_mm256_or_ps(below(y, x), is_nan(x)), x, y); }
INLINE __m256 prelu(__m256 x, __m256 y) { return choose(below(x, all(0.0f)), mul(x, y), x); }

// Two rows of operands; step 0 repeats the first.
typedef struct operands {
    const float *x, *y;
    size_t x_step, y_step, count;
    float lo, hi;
} operands;

// Inlined with its function.
INLINE void map(__m256 (*fn)(__m256, __m256), const operands *o, float *z) {
    const __m256 lo = all(o->lo), hi = all(o->hi);
    __m256 x = all(*o->x), y = all(*o->y);
    size_t i = 0;
    for (; i + 8 <= o->count; i += 8) {
        if (o->x_step) x = _mm256_loadu_ps(o->x + i);
        if (o->y_step) y = _mm256_loadu_ps(o->y + i);
        _mm256_storeu_ps(z + i, clamp(fn(x, y), lo, hi));
    }
    if (i == o->count) return;
    const __m256i mask = first(o->count - i);
    if (o->x_step) x = _mm256_maskload_ps(o->x + i, mask);
    if (o->y_step) y = _mm256_maskload_ps(o->y + i, mask);
    _mm256_maskstore_ps(z + i, mask, clamp(fn(x, y), lo, hi));
}

void tody_binary_f32_avx2(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                          float lo, float hi) {
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
