// lut_s8_avx512vnni.c - tables of int8, which VBMI keeps in four registers.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx512.h"

static inline __m512i lookup(const __m512i *quarters, __m512i x) {
    const __m512i negative = _mm512_permutex2var_epi8(quarters[0], x, quarters[1]);
    const __m512i positive = _mm512_permutex2var_epi8(quarters[2], x, quarters[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), positive, negative);
}

void tody_lut_s8_avx512vnni(const int8_t *table, const int8_t *x, int8_t *y, size_t count) {
    const __m512i quarters[] = {_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64), _mm512_loadu_si512(table + 128),
                                _mm512_loadu_si512(table + 192)};
    size_t i = 0;
    for (; i + 64 <= count; i += 64) _mm512_storeu_si512(y + i, lookup(quarters, _mm512_loadu_si512(x + i)));
    if (i == count) return;
    const __mmask64 m = ((__mmask64)1 << (count - i)) - 1;
    _mm512_mask_storeu_epi8(y + i, m, lookup(quarters, _mm512_maskz_loadu_epi8(m, x + i)));
}
