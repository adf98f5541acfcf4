// row.h - softmax and moments of whole rows. Sums run in 16 lanes as in portable, and so give the same bits.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_ROW_H
#define TODY_KERNELS_ROW_H

#include "math.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, VECTORS = LANES / WIDTH, MOMENT_BLOCK = 1024 };  // of values whose moments are kept in float32

// 16 sums, or what else goes on in 16 lanes.
typedef struct lanes {
    vector v[VECTORS];
} lanes;

INLINE lanes all_lanes(float x) {
    lanes l;
    for (int i = 0; i < VECTORS; i++) l.v[i] = all(x);
    return l;
}

INLINE lanes load_lanes(const float *x) {
    lanes l;
    for (int i = 0; i < VECTORS; i++) l.v[i] = load(x + i * WIDTH);
    return l;
}

INLINE void store_lanes(float *y, lanes l) {
    for (int i = 0; i < VECTORS; i++) store(y + i * WIDTH, l.v[i]);
}

// x[0 .. count) in the first lanes, fewer than all, and `rest` in the others
INLINE lanes load_rest(const float *x, size_t count, float rest) {
    lanes l;
    for (size_t i = 0; i < VECTORS; i++) {
        const size_t at = i * WIDTH < count ? i * WIDTH : 0;
        const mask m = first(i * WIDTH < count ? count - at : 0);
        l.v[i] = choose(truth_of(m), load_some(x + at, m), all(rest));
    }
    return l;
}

INLINE void store_rest(float *y, size_t count, lanes l) {
    for (size_t i = 0; i < VECTORS && i * WIDTH < count; i++) store_some(y + i * WIDTH, first(count - i * WIDTH), l.v[i]);
}

INLINE lanes fold(vector (*fn)(vector, vector), lanes x, lanes y) {
    for (int i = 0; i < VECTORS; i++) x.v[i] = fn(x.v[i], y.v[i]);
    return x;
}

// The vectors folded into one: elements 8 apart, then 4.
INLINE vector fold_vectors(vector (*fn)(vector, vector), lanes l) {
    for (int half = VECTORS / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) l.v[i] = fn(l.v[i], l.v[i + half]);
    return l.v[0];
}

// Sum of lanes 8 apart, then 4, 2 and 1.
INLINE float sum_lanes(lanes l) { return sum_across(fold_vectors(add, l)); }

INLINE float greatest(const float *x, size_t count) {
    const size_t whole = count / LANES * LANES;
    lanes m = all_lanes(x[0]);
    for (size_t i = 0; i < whole; i += LANES) m = fold(larger, load_lanes(x + i), m);
    if (whole < count) m = fold(larger, load_rest(x + whole, count - whole, x[0]), m);
    return largest_across(fold_vectors(larger, m));
}

// exp(x - shift), which is at most 1
INLINE lanes exponentials(lanes x, lanes shift) {
    lanes e = fold(sub, x, shift);
    for (int i = 0; i < VECTORS; i++) e.v[i] = exp_share_of(e.v[i]);
    return e;
}

// What stands in for missing values becomes exp(-inf) = 0. They are not read again from where they were stored in part.
static inline void softmax_f32(const float *x, float *y, size_t count) {
    if (count == 0) return;
    const size_t whole = count / LANES * LANES;
    const lanes shift = all_lanes(greatest(x, count));
    lanes sums = all_lanes(0.0f), rest = sums;
    for (size_t i = 0; i < whole; i += LANES) {
        const lanes e = exponentials(load_lanes(x + i), shift);
        store_lanes(y + i, e);
        sums = fold(add, sums, e);
    }
    if (whole < count) rest = exponentials(load_rest(x + whole, count - whole, -TODY_INF), shift);
    const lanes scale = all_lanes(1.0f / sum_lanes(fold(add, sums, rest)));
    for (size_t i = 0; i < whole; i += LANES) store_lanes(y + i, fold(mul, load_lanes(y + i), scale));
    if (whole < count) store_rest(y + whole, count - whole, fold(mul, rest, scale));
}

// The sums of x and of its square.
typedef struct moments {
    lanes one, two;
} moments;

INLINE moments add_moments(moments m, lanes x, lanes mean) {
    const lanes d = fold(sub, x, mean);
    return (moments){fold(add, m.one, d), fold(add, m.two, fold(mul, d, d))};
}

static inline void moments_f32(const float *x, size_t count, float mean, float sums[2]) {
    const lanes means = all_lanes(mean);
    double total[2] = {0.0, 0.0};
    for (size_t at = 0; at < count; at += MOMENT_BLOCK) {
        const size_t end = count - at < MOMENT_BLOCK ? count : at + MOMENT_BLOCK, whole = end / LANES * LANES;
        moments m = {all_lanes(0.0f), all_lanes(0.0f)};
        for (size_t i = at; i < whole; i += LANES) m = add_moments(m, load_lanes(x + i), means);
        if (whole < end) m = add_moments(m, load_rest(x + whole, end - whole, mean), means);
        total[0] += (double)sum_lanes(m.one);
        total[1] += (double)sum_lanes(m.two);
    }
    sums[0] = (float)total[0];
    sums[1] = (float)total[1];
}

#endif
