// binary.c - functions of two float32.
// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>

#include "core/format.h"
#include "math.h"
#include "portable.h"

#define BLOCK 32u
#define INLINE static inline __attribute__((always_inline))

static inline float add(float x, float y) { return x + y; }
static inline float sub(float x, float y) { return x - y; }
static inline float mul(float x, float y) { return x * y; }
static inline float divide(float x, float y) { return x / y; }
static inline float least(float x, float y) { return x < y || x != x ? x : y; }     // NaN wins
static inline float greatest(float x, float y) { return x > y || x != x ? x : y; }  // NaN wins
static inline float prelu(float x, float y) { return x < 0.0f ? x * y : x; }

static inline float mod(float x, float y) {
    float r = fmod_f32(x, y);
    return r != 0.0f && (r < 0.0f) != (y < 0.0f) ? r + y : r;
}

// Operands [at, at + n) of a run; step 0 repeats the first.
INLINE void load(float *t, const float *x, size_t step, size_t at, size_t n) {
    if (step && n >= BLOCK) memcpy(t, x + at, BLOCK * sizeof *t);
    for (size_t i = 0; step && n < BLOCK && i < n; i++) t[i] = x[at + i];
}

// Inlined with its function. Blocks on the stack, always computed whole, tell the compiler that nothing overlaps (also where z
// is x or y) and that there is no rest: so it vectorises.
INLINE void map(float (*fn)(float, float), const float *a, const float *b, float *c) {
#pragma GCC unroll 1
    for (size_t i = 0; i < BLOCK; i++) c[i] = fn(a[i], b[i]);
}

static void apply(uint32_t fn2, const float *a, const float *b, float *c) {
    switch (fn2) {
        case TODY_FN2_ADD: map(add, a, b, c); break;
        case TODY_FN2_SUB: map(sub, a, b, c); break;
        case TODY_FN2_MUL: map(mul, a, b, c); break;
        case TODY_FN2_DIV: map(divide, a, b, c); break;
        case TODY_FN2_MIN: map(least, a, b, c); break;
        case TODY_FN2_MAX: map(greatest, a, b, c); break;
        case TODY_FN2_MOD: map(mod, a, b, c); break;
        case TODY_FN2_FMOD: map(fmod_f32, a, b, c); break;
        case TODY_FN2_POW: map(pow_f32, a, b, c); break;
        default: map(prelu, a, b, c); break;  // TODY_FN2_PRELU
    }
}

void tody_portable_binary_f32(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z,
                              size_t count, float lo, float hi) {
    float a[BLOCK], b[BLOCK], c[BLOCK];
    const float first_x = *x, first_y = *y;
    for (size_t i = 0; i < BLOCK; i++) a[i] = first_x;
    for (size_t i = 0; i < BLOCK; i++) b[i] = first_y;
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = count - at;
        load(a, x, x_step, at, n);
        load(b, y, y_step, at, n);
        apply(fn2, a, b, c);
        for (size_t i = 0; i < BLOCK; i++) c[i] = hold(c[i], lo, hi);
        if (n >= BLOCK) memcpy(z + at, c, sizeof c);
        for (size_t i = 0; n < BLOCK && i < n; i++) z[at + i] = c[i];
    }
}
