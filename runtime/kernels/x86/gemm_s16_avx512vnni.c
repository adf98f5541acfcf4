// gemm_s16_avx512vnni.c - int16 matrix product with AVX-512 dot products: 6 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx512.h"

enum { TILE = 6 };

static inline integers dot(integers sum, integers u, integers w) { return _mm512_dpwssd_epi32(sum, u, w); }

// Sixteen of tody_result_s16, of which those in m are stored.
static inline void finish_half_s16(int16_t *c, __mmask16 m, __m512i sum, __m512i scale, __m512i slope, const int16_t *addend,
                                   const tody_layer_s8 *q) {
    vector p = mul(_mm512_cvtepi32_ps(sum), _mm512_castsi512_ps(scale));
    if (addend) {
        const __m256i added = _mm256_maskz_loadu_epi16(m, addend);
        p = add(p, mul(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(added)), all(q->addend_scale)));
    }
    if (q->slopes) p = leak(p, _mm512_castsi512_ps(slope));
    p = _mm512_min_ps(_mm512_max_ps(p, all(q->finish.lo)), all(q->finish.hi));
    _mm512_mask_cvtepi32_storeu_epi16(c, m, _mm512_cvtps_epi32(p));
}

// The first `count` results of 32 sums; the addend may be NULL.
static inline void finish_s16(int16_t *c, size_t count, sums s, const factors *f, const int16_t *addend,
                              const tody_layer_s8 *q) {
    finish_half_s16(c, first(count), s.low, f->scale.low, f->slope.low, addend, q);
    if (count <= 16) return;
    finish_half_s16(c + 16, first(count - 16), s.high, f->scale.high, f->slope.high, addend ? addend + 16 : NULL, q);
}

#include "gemm_s16.h"

void tody_gemm_s16_avx512vnni(const tody_gemm_s16 *args) {
    sums s[TILE];
    if (args->cols > 16)
        tile_by_rows(args, true, s);
    else
        tile_by_rows(args, false, s);
    finish_rows(args, s);
}
