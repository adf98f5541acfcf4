// dwconv_s16_avx2.c - depthwise convolution of int16.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s16_avx2.h"

enum { PART = 16, LARGE = 0 };

typedef tody_dwconv_s16 dwconv;
typedef int16_t value;

#include "dwconv_row.h"

static inline __attribute__((always_inline)) __m256i wide(const int16_t *x, size_t count) { return load_s16(x, count); }

static inline __m256i zero_of(const dwconv *d) {
    (void)d;
    return _mm256_setzero_si256();
}

#include "dwconv_pairs.h"

static __attribute__((noinline)) void store_pixels(const dwconv *d, size_t k, size_t count, size_t first, uint32_t pixels,
                                                   const total *t) {
    const tody_layer_s8 layer = d->layer;
    const factors f = factors_s8(d->scale + k, count, &layer);
    for (size_t p = first; p < first + pixels; p++, t++) {
        const int16_t *addend = d->addend ? d->addend + p * d->addend_stride + k : NULL;
        finish_s16(d->c + p * d->c_stride + k, count, in_halves(*t), &f, addend, &layer);
    }
}

#include "dwconv_s8.h"

void tody_dwconv_s16_avx2(const tody_dwconv_s16 *args) { dwconv_all(args); }
