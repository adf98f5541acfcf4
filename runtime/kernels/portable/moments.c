// moments.c - sums of differences from a mean and of their squares.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

#define LANES 16u
#define BLOCK 1024u  // values whose sum is kept in float32; the sums of blocks are added in double precision

static void block(const float *x, size_t count, float mean, double sums[2]) {
    float first[LANES] = {0}, second[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) {
            float d = x[i + j] - mean;
            first[j] += d;
            second[j] += d * d;
        }
    }
    for (uint32_t j = 0; i < count; i++, j++) {
        float d = x[i] - mean;
        first[j] += d;
        second[j] += d * d;
    }
    for (uint32_t half = LANES / 2; half > 0; half /= 2) {
        for (uint32_t j = 0; j < half; j++) first[j] += first[j + half];
        for (uint32_t j = 0; j < half; j++) second[j] += second[j + half];
    }
    sums[0] += (double)first[0];
    sums[1] += (double)second[0];
}

void tody_portable_moments_f32(const float *x, size_t count, float mean, float sums[2]) {
    double total[2] = {0.0, 0.0};
    for (size_t at = 0; at < count; at += BLOCK) block(x + at, count - at < BLOCK ? count - at : BLOCK, mean, total);
    sums[0] = (float)total[0];
    sums[1] = (float)total[1];
}
