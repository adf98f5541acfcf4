// sparse_s8_avxvnni.c - int8 product with weights in blocks, by dot products of 256 bits.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { FLIP = 0x80 };  // vpdpbusd multiplies unsigned by signed bytes

typedef __m256i block;

static inline block block_of(const int8_t *w) {
    int32_t four;
    memcpy(&four, w, sizeof four);
    return all_s32(four);
}

static inline __m256i add_block(__m256i sum, __m256i x, block w) { return _mm256_dpbusd_avx_epi32(sum, x, w); }

#include "sparse_s8_256.h"

void tody_words_s8_avxvnni(const tody_words_s8 *args) { gather(args); }
void tody_sparse_s8_avxvnni(const tody_sparse_s8 *args) { run_any(args); }
