// integers.h - values, multipliers and results for the checks of int8 slots.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_KERNELS_INTEGERS_H
#define TODY_TESTS_KERNELS_INTEGERS_H

#include <string.h>

#include "check.h"

enum { GUARDS = 16, MAX_TERMS = 4096 };

// Values of one case: of all sizes, or only the ends of the range, where sums of products are largest.
static inline int8_t random_s8(dice *r, bool extreme) {
    if (extreme) return random_below(r, 4) ? -128 : 127;
    return (int8_t)((int32_t)random_below(r, 256) - 128);
}

static inline int8_t *bytes_take(dice *r, size_t count, bool extreme) {
    int8_t *x = memory_take(count);
    for (size_t i = 0; i < count; i++) x[i] = random_s8(r, extreme);
    return x;
}

// `count` pointers into a block of values, some of them to the same place and the last one to its very end.
static inline const int8_t **rows_take(dice *r, size_t count, size_t length, bool extreme) {
    const size_t block = length * 4 + 64;
    const int8_t *values = bytes_take(r, block, extreme);
    const int8_t **a = memory_take((count * sizeof *a + 7) / 8 * 8);
    for (size_t i = 0; i < count; i++) a[i] = values + random_below(r, (uint32_t)(block - length + 1));
    a[count - 1] = values + block - length;
    return a;
}

static inline int32_t *bias_take(dice *r, size_t count) {
    int32_t *bias = memory_take(count * sizeof *bias);
    for (size_t i = 0; i < count; i++) bias[i] = (int32_t)random_below(r, 200001) - 100000;
    return bias;
}

// Multipliers that spread the results over the range; one half, which makes ties; and now and then the smallest and a huge one.
static inline float random_scale(dice *r, double terms) {
    const uint32_t kind = random_below(r, 16);
    if (kind == 0) return 1.17549435e-38f;
    if (kind == 1) return 1e19f;
    return kind < 5 ? 0.5f : (float)((0.2 + random_below(r, 1000) * 1e-3) / terms);
}

// The ends of what there may be; one half, which makes ties; and others.
static inline float random_slope(dice *r) {
    static const float slopes[] = {0.0f, -0.0f, 1.17549435e-38f, 2147483520.0f, -2147483520.0f, 0.5f, -0.5f, 0.1f, 1.0f, 1.7f};
    return slopes[random_below(r, sizeof slopes / sizeof *slopes)];
}

// With slopes behind them, or without; `layer` is told, if there is one.
static inline float *scales_take(dice *r, size_t count, double terms, tody_layer_s8 *layer) {
    const uint32_t slopes = layer && random_below(r, 2) ? (uint32_t)count : 0;
    float *scale = memory_take((count + slopes) * sizeof *scale);
    for (size_t i = 0; i < count; i++) scale[i] = random_scale(r, terms);
    for (size_t i = 0; i < slopes; i++) scale[count + i] = random_slope(r);
    if (layer) layer->slopes = slopes;
    return scale;
}

static inline tody_layer_s8 random_layer(dice *r) {
    static const int32_t zeros[] = {-128, 127, 0, -5};
    tody_layer_s8 q = {.x_zero = zeros[random_below(r, 4)], .addend_zero = zeros[random_below(r, 4)]};
    q.addend_scale = random_scale(r, 1.0);
    q.rounds = random_below(r, 2);
    if (q.rounds) {
        const int32_t zero = zeros[random_below(r, 4)];
        q.inner_scale = random_scale(r, 1.0);
        q.inner = (tody_finish_s8){(float)(-128 - zero), (float)(127 - zero), zero};
    }
    q.finish.zero = zeros[random_below(r, 4)];
    const int32_t lo = random_below(r, 2) ? -128 : q.finish.zero;
    q.finish.lo = (float)(lo - q.finish.zero);
    q.finish.hi = (float)((random_below(r, 2) ? 127 : lo + (int32_t)random_below(r, (uint32_t)(128 - lo))) - q.finish.zero);
    return q;
}

// What a kernel and its portable twin write, with guards before, between and (fence) after the rows.
typedef struct bytes {
    int8_t *got, *want;
    size_t rows, cols, stride;
} bytes;

static inline bytes result_take(dice *r, size_t rows, size_t cols, size_t stride) {
    const size_t count = (rows - 1) * stride + cols + GUARDS;
    bytes b = {.rows = rows, .cols = cols, .stride = stride};
    b.got = bytes_take(r, count, false);
    b.want = memory_take(count);
    memcpy(b.want, b.got, count);
    b.got += GUARDS;
    b.want += GUARDS;
    return b;
}

// Portable is taken at its word that it writes results only; so guards must be equal, as results.
static inline bool result_same(const bytes *b) {
    if (memcmp(b->got - GUARDS, b->want - GUARDS, GUARDS)) return wrong("wrote before the first row");
    for (size_t i = 0; i < (b->rows - 1) * b->stride + b->cols; i++) {
        const size_t row = i / b->stride, col = i % b->stride;
        if (b->got[i] != b->want[i]) return wrong("row %zu col %zu: %d, portable %d", row, col, b->got[i], b->want[i]);
    }
    return true;
}

// integers.c: portable, which takes one panel at a time.
void run_panels_s8(const tody_gemm_s8 *g);

// Panels of 7-bit weights, for which some sets have their own products: the largest of them everywhere, those of which four at
// most add up to 128, both by turns, or any.
void narrow_some(dice *r, int8_t *w, uint32_t panels, size_t stride);

#endif
