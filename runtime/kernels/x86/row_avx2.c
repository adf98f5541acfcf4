// row_avx2.c - softmax, moments and blend of whole rows. Sums run in 16 lanes as in portable, and so give the same bits.
// SPDX-License-Identifier: Apache-2.0
#include "math.h"

enum { LANES = 16, MOMENT_BLOCK = 1024 };  // values whose moments are kept in float32

// 16 sums, or what else goes on in 16 lanes.
typedef struct lanes {
    vector low, high;
} lanes;

// x[0 .. count) in the first lanes, `rest` in the others
static inline lanes load_lanes(const float *x, size_t count, float rest) {
    if (count >= LANES) return (lanes){load(x), load(x + 8)};
    const mask low = first(count), high = first(count > 8 ? count - 8 : 0);
    const float *next = count > 8 ? x + 8 : x;
    return (lanes){
        choose(_mm256_castsi256_ps(low), load_some(x, low), all(rest)),
        choose(_mm256_castsi256_ps(high), load_some(next, high), all(rest)),
    };
}

static inline void store_lanes(float *y, size_t count, lanes v) {
    if (count >= LANES) {
        store(y, v.low);
        store(y + 8, v.high);
        return;
    }
    store_some(y, first(count), v.low);
    if (count > 8) store_some(y + 8, first(count - 8), v.high);
}

static float greatest(const float *x, size_t count) {
    lanes m = load_lanes(x, count, x[0]);
    for (size_t i = 0; i < count; i += LANES) {
        const lanes v = load_lanes(x + i, count - i, x[0]);
        m = (lanes){larger(v.low, m.low), larger(v.high, m.high)};
    }
    float values[8];
    store(values, larger(m.low, m.high));
    float most = values[0];
    for (int i = 1; i < 8; i++) most = values[i] > most ? values[i] : most;
    return most;
}

static float sum_in_order(lanes v) {
    float values[LANES], sum = 0.0f;
    store_lanes(values, LANES, v);
    for (int i = 0; i < LANES; i++) sum += values[i];
    return sum;
}

// y = exp(x - shift); returns the sum. What stands in for missing values becomes exp(-inf) = 0.
static float exponentials(const float *x, float shift, float *y, size_t count) {
    lanes sums = {all(0.0f), all(0.0f)};
    for (size_t i = 0; i < count; i += LANES) {
        const lanes v = load_lanes(x + i, count - i, -TODY_INF);
        const lanes e = {exp_of(sub(v.low, all(shift))), exp_of(sub(v.high, all(shift)))};
        store_lanes(y + i, count - i, e);
        sums = (lanes){add(sums.low, e.low), add(sums.high, e.high)};
    }
    return sum_in_order(sums);
}

void tody_softmax_f32_avx2(const float *x, float *y, size_t count) {
    if (count == 0) return;
    const vector scale = all(1.0f / exponentials(x, greatest(x, count), y, count));
    for (size_t i = 0; i < count; i += LANES) {
        const lanes v = load_lanes(y + i, count - i, 0.0f);
        store_lanes(y + i, count - i, (lanes){mul(v.low, scale), mul(v.high, scale)});
    }
}

static void add_moments(const float *x, size_t count, float mean, double sums[2]) {
    lanes one = {all(0.0f), all(0.0f)}, two = one;
    for (size_t i = 0; i < count; i += LANES) {
        const lanes v = load_lanes(x + i, count - i, mean);
        const lanes d = {sub(v.low, all(mean)), sub(v.high, all(mean))};
        one = (lanes){add(one.low, d.low), add(one.high, d.high)};
        two = (lanes){add(two.low, mul(d.low, d.low)), add(two.high, mul(d.high, d.high))};
    }
    float values[2][LANES];
    store_lanes(values[0], LANES, one);
    store_lanes(values[1], LANES, two);
    for (int i = 0; i < LANES; i++) sums[0] += (double)values[0][i];
    for (int i = 0; i < LANES; i++) sums[1] += (double)values[1][i];
}

void tody_moments_f32_avx2(const float *x, size_t count, float mean, float sums[2]) {
    double total[2] = {0.0, 0.0};
    for (size_t at = 0; at < count; at += MOMENT_BLOCK) {
        add_moments(x + at, count - at < MOMENT_BLOCK ? count - at : MOMENT_BLOCK, mean, total);
    }
    sums[0] = (float)total[0];
    sums[1] = (float)total[1];
}

void tody_blend_f32_avx2(const float *const *a, const float *w, uint32_t taps, float *y, size_t count) {
    for (size_t at = 0; at < count; at += LANES) {
        lanes v = load_lanes(a[0] + at, count - at, 0.0f);
        lanes sum = {mul(v.low, all(w[0])), mul(v.high, all(w[0]))};
        for (uint32_t t = 1; t < taps; t++) {
            v = load_lanes(a[t] + at, count - at, 0.0f);
            sum = (lanes){add(sum.low, mul(v.low, all(w[t]))), add(sum.high, mul(v.high, all(w[t])))};
        }
        store_lanes(y + at, count - at, sum);
    }
}
