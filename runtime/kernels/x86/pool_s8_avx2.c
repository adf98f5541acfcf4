// pool_s8_avx2.c - the largest of rows of int8, 32 channels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/portable/portable.h"
#include "vector_s8_avx2.h"

enum { CHANNELS = 32 };

// The last channels may be some of those before, again.
void tody_max_s8_avx2(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y) {
    if (channels < CHANNELS) {
        tody_portable_max_s8(a, taps, channels, y);
        return;
    }
    for (size_t k = 0; k < channels; k += CHANNELS) {
        const size_t at = k + CHANNELS <= channels ? k : channels - CHANNELS;
        __m256i most = _mm256_set1_epi8(INT8_MIN);
        for (uint32_t t = 0; t < taps; t++) {
            most = _mm256_max_epi8(most, _mm256_loadu_si256((const __m256i *)(const void *)(a[t] + at)));
        }
        _mm256_storeu_si256((__m256i *)(void *)(y + at), most);
    }
}
