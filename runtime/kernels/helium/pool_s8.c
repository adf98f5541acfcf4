// pool_s8.c - sum and largest of rows of int8 by Helium: a vector of channels of all rows.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)

enum { LANES_16 = 8, LANES_8 = 16, MOST = 256 };  // rows whose sums stay within int16

// Of eight channels, those with an even number and those with an odd one.
typedef struct sums {
    int32x4_t even, odd;
} sums;

static sums add_rows(const int8_t *const *a, uint32_t taps, uint32_t k, mve_pred16_t there) {
    sums all = {vdupq_n_s32(0), vdupq_n_s32(0)};
    for (const int8_t *const *end = a + taps; a < end;) {
        int16x8_t some = vdupq_n_s16(0);
        for (uint32_t rows = (uint32_t)(end - a) < MOST ? (uint32_t)(end - a) : MOST; rows > 0; rows--, a++) {
            some = vaddq_s16(some, vldrbq_z_s16(*a + k, there));
        }
        all.even = vaddq_s32(all.even, vmovlbq_s16(some));
        all.odd = vaddq_s32(all.odd, vmovltq_s16(some));
    }
    return all;
}

void tody_sum_s8_helium(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *sum) {
    const uint32x4_t at = vmulq_n_u32(vidupq_n_u32(0, 1), 2);
    for (uint32_t k = 0; k < channels; k += LANES_16) {
        const uint32_t left = channels - k;
        const sums s = add_rows(a, taps, k, vctp16q(left));
        vstrwq_scatter_shifted_offset_p_s32((int32_t *)sum + k, at, s.even, vctp32q((left + 1) / 2));
        vstrwq_scatter_shifted_offset_p_s32((int32_t *)sum + k + 1, at, s.odd, vctp32q(left / 2));
    }
}

void tody_max_s8_helium(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y) {
    for (uint32_t k = 0; k < channels; k += LANES_8) {
        const mve_pred16_t there = vctp8q(channels - k);
        int8x16_t most = vldrbq_z_s8(a[0] + k, there);
        for (uint32_t t = 1; t < taps; t++) most = vmaxq_s8(most, vldrbq_z_s8(a[t] + k, there));
        vstrbq_p_s8(y + k, most, there);
    }
}

#endif
