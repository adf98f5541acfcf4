// softmax.c - exp(x - max) / sum, for one row.
// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>

#include "math.h"
#include "portable.h"

#define LANES 16u

static float greatest(const float *x, size_t count) {
    float lanes[LANES], m = x[0];
    for (uint32_t j = 0; j < LANES; j++) lanes[j] = m;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (uint32_t j = 0; j < LANES; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (; i < count; i++) m = x[i] > m ? x[i] : m;
    for (uint32_t j = 0; j < LANES; j++) m = lanes[j] > m ? lanes[j] : m;
    return m;
}

// y = exp(x - shift); returns the sum, each lane on its own, then those 8 apart, 4, 2 and 1
static float exponentials(const float *x, float shift, float *y, size_t count) {
    float lanes[LANES] = {0}, t[LANES];
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) t[j] = exp_share(x[i + j] - shift);
        for (uint32_t j = 0; j < LANES; j++) lanes[j] += t[j];
        memcpy(y + i, t, sizeof t);
    }
    for (uint32_t j = 0; i < count; i++, j++) {
        t[j] = exp_share(x[i] - shift);
        lanes[j] += t[j];
        y[i] = t[j];
    }
    for (uint32_t half = LANES / 2; half > 0; half /= 2) {
        for (uint32_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
    }
    return lanes[0];
}

void tody_portable_softmax_f32(const float *x, float *y, size_t count) {
    if (count == 0) return;
    float sum = exponentials(x, greatest(x, count), y, count);
    float scale = 1.0f / sum;
    for (size_t i = 0; i < count; i++) y[i] *= scale;
}
