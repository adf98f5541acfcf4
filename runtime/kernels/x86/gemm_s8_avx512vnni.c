// gemm_s8_avx512vnni.c - int8 matrix product with AVX-512 dot products: 12 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
#include "gemm_s8_avx512.h"

enum { ROWS = 12 };

static inline integers dot(integers sum, integers u, integers w) { return _mm512_dpbusd_epi32(sum, u, w); }

static inline sums load_weights(const int8_t *w, size_t stride, bool both) {
    return (sums){_mm512_loadu_si512(w), both ? _mm512_loadu_si512(w + stride) : _mm512_setzero_si512()};
}

// x = a + 128 for `count` values, and x_zero + 128 behind them up to a multiple of 64.
static inline void load_shifted(const int8_t *a, uint32_t count, int32_t x_zero, uint8_t *x) {
    const __m512i zero = _mm512_set1_epi8((char)x_zero), sign = _mm512_set1_epi8((char)0x80);
    if (count <= 16) {
        const __m128i some = _mm_mask_loadu_epi8(_mm512_castsi512_si128(zero), (__mmask16)((1u << count) - 1), a);
        _mm_storeu_si128((__m128i *)(void *)x, _mm_xor_si128(some, _mm512_castsi512_si128(sign)));
        return;
    }
    for (uint32_t k = 0; k < count; k += 64) {
        const __mmask64 m = count - k < 64 ? ((__mmask64)1 << (count - k)) - 1 : ~(__mmask64)0;
        _mm512_storeu_si512(x + k, _mm512_xor_si512(_mm512_mask_loadu_epi8(zero, m, a + k), sign));
    }
}

static bool load_short(const tody_gemm_s8 *g, uint8_t *x, size_t room) {
    spread_taps_s8(g, x, room, 0x80);
    return true;
}

#include "gemm_s8_vnni.h"

// An even number of rows, or one, is enough of a choice.
INLINE void tile_of(const tody_gemm_s8 *g, const bool both) {
    switch (g->rows) {
        case 1: tile(g, 1, both); break;
        case 2: tile(g, 2, both); break;
        case 3:
        case 4: tile(g, 4, both); break;
        case 5:
        case 6: tile(g, 6, both); break;
        case 7:
        case 8: tile(g, 8, both); break;
        case 9:
        case 10: tile(g, 10, both); break;
        default: tile(g, ROWS, both); break;
    }
}

void tody_gemm_s8_avx512vnni(const tody_gemm_s8 *args) {
    if (args->cols > 16)
        tile_of(args, true);
    else
        tile_of(args, false);
}
