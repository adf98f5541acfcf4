// sparse_s8_avx2.c - int8 product with weights in blocks: even and odd bytes are widened and multiplied in pairs.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { FLIP = 0 };

static inline __m256i even(__m256i x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
static inline __m256i odd(__m256i x) { return _mm256_srai_epi16(x, 8); }

// The weights of a block, in all lanes.
typedef struct block {
    __m256i even, odd;
} block;

static inline block block_of(const int8_t *w) {
    int32_t four;
    memcpy(&four, w, sizeof four);
    return (block){even(all_s32(four)), odd(all_s32(four))};
}

static inline __m256i add_block(__m256i sum, __m256i x, block w) {
    return add_s32(sum, add_s32(_mm256_madd_epi16(even(x), w.even), _mm256_madd_epi16(odd(x), w.odd)));
}

#include "sparse_s8_256.h"

void tody_words_s8_avx2(const tody_words_s8 *args) { gather(args); }
void tody_sparse_s8_avx2(const tody_sparse_s8 *args) { run_any(args); }
