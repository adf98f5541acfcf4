// pool_s8.c - sum and largest of rows of int8, four rows at a time.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "portable.h"

void tody_portable_sum_s8(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *restrict sum) {
    memset(sum, 0, channels * sizeof *sum);
    for (; taps >= 4; taps -= 4, a += 4) {
        const int8_t *restrict p = a[0], *restrict q = a[1], *restrict r = a[2], *restrict s = a[3];
        for (uint32_t k = 0; k < channels; k++) sum[k] += (uint32_t)(p[k] + q[k] + r[k] + s[k]);
    }
    for (; taps > 0; taps--, a++) {
        const int8_t *restrict p = *a;
        for (uint32_t k = 0; k < channels; k++) {
            const int32_t x = p[k];
            sum[k] += (uint32_t)x;
        }
    }
}

static inline int8_t larger(int8_t x, int8_t y) { return x > y ? x : y; }

// Rows that are missing of four are taken twice.
void tody_portable_max_s8(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *restrict y) {
    memcpy(y, a[0], channels);
    for (uint32_t t = 0; t < taps; t += 4) {
        const uint32_t last = taps - 1;
        const int8_t *restrict p = a[t], *restrict q = a[t + 1 < taps ? t + 1 : last],
                               *restrict r = a[t + 2 < taps ? t + 2 : last];
        const int8_t *restrict s = a[t + 3 < taps ? t + 3 : last];
        for (uint32_t k = 0; k < channels; k++) y[k] = larger(y[k], larger(larger(p[k], q[k]), larger(r[k], s[k])));
    }
}
