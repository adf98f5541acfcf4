// binary_s8_avx512vnni.c - sums, differences and products of two int8, 32 at a time.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "vector_s8_avx512.h"

// Sixteen values less their zero point, from the `first` on. With 128 added, a byte is the lower end of a float between 2^23
// and 2^24, which spares its conversion; the difference is exact. `first` is a constant after inlining.
static inline vector widen(__m256i x, uint32_t first, int32_t zero) {
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_add_epi32(lanes, all_s32((int32_t)first)), power = all_s32(0x4B000000);
    const __m512i bits = _mm512_mask_permutexvar_epi8(power, 0x1111111111111111u, from, _mm512_castsi256_si512(x));
    return sub(_mm512_castsi512_ps(bits), all((float)(8388608 + 128 + zero)));
}

// Sixteen results, rounded. The product of two differences is exact too.
static inline __m512i apply(const tody_binary_s8 *b, const tody_layer_s8 *q, __m256i x, __m256i y, uint32_t first) {
    const vector p = widen(x, first, b->x_zero), r = widen(y, first, b->y_zero), scale = all(b->x_scale);
    if (b->fn2 == TODY_FN2_MUL) return round_s8(mul(mul(p, r), scale), q);
    return round_s8(add(mul(p, scale), mul(r, all(q->addend_scale))), q);
}

void tody_binary_s8_avx512vnni(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    if (args->fn2 == TODY_FN2_MIN || args->fn2 == TODY_FN2_MAX) {
        tody_binary_s8_avx2(args, x, y, z, count);
        return;
    }
    const tody_binary_s8 b = *args;
    const tody_layer_s8 q = {.addend_scale = b.fn2 == TODY_FN2_SUB ? -b.y_scale : b.y_scale, .finish = b.finish};
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    for (size_t i = 0; i < count; i += 32) {
        const __mmask32 m = count - i < 32 ? ((__mmask32)1 << (count - i)) - 1 : ~(__mmask32)0;
        const __m256i p = _mm256_xor_si256(_mm256_maskz_loadu_epi8(m, x + i), flip);
        const __m256i r = _mm256_xor_si256(_mm256_maskz_loadu_epi8(m, y + i), flip);
        _mm256_mask_storeu_epi8(z + i, m, narrow_s8(apply(&b, &q, p, r, 0), apply(&b, &q, p, r, 16), &q));
    }
}
