// gemm_s8_avxvnni.c - int8 matrix product with the dot products of 256 bits: 5 rows by a panel.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx2.h"

enum { ROWS = 5 };

static inline integers dot(integers sum, integers u, integers w) { return _mm256_dpbusd_avx_epi32(sum, u, w); }

static inline __m256i load_32(const void *x) { return _mm256_loadu_si256(x); }

static inline sums load_weights(const int8_t *w, size_t stride, bool both) {
    (void)stride;
    (void)both;
    return (sums){load_32(w), load_32(w + 32)};
}

static inline sums load_scale(const tody_gemm_s8 *g) { return (sums){load_32(g->scale), load_32(g->scale + 8)}; }

// x = a + 128 for `count` values, and x_zero + 128 behind them up to a multiple of 4.
static inline void load_shifted(const int8_t *a, uint32_t count, int32_t x_zero, uint8_t *x) {
    uint32_t k = 0;
    for (; k + 16 <= count; k += 16) {
        _mm_storeu_si128((__m128i *)(void *)(x + k), _mm_xor_si128(load_s8(a + k, 16), _mm_set1_epi8((char)0x80)));
    }
    for (; k < count; k++) x[k] = (uint8_t)(a[k] + 128);
    for (; k % 4 != 0; k++) x[k] = (uint8_t)(x_zero + 128);
}

// Without masks, loads would go beyond the memory of a row.
static bool load_short(const tody_gemm_s8 *g, uint8_t *x, size_t room) {
    (void)g;
    (void)x;
    (void)room;
    return false;
}

#include "gemm_s8_vnni.h"

void tody_gemm_s8_avxvnni(const tody_gemm_s8 *args) {
    switch (args->rows) {
        case 1: tile(args, 1, true); break;
        case 2: tile(args, 2, true); break;
        case 3: tile(args, 3, true); break;
        case 4: tile(args, 4, true); break;
        default: tile(args, ROWS, true); break;
    }
}
