// vnni.h - dot products of 256 bits.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_EMULATED_VNNI_H
#define TODY_TESTS_EMULATED_VNNI_H

// Sums of 32 bits wrap. Four unsigned by four signed bytes are two sums of two products, of even and of odd bytes, none of
// which leaves 32 bits.
EMULATED __m256i _mm256_dpbusd_avx_epi32(__m256i sum, __m256i u, __m256i s) {
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

EMULATED __m256i _mm256_dpwssd_avx_epi32(__m256i sum, __m256i a, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

#endif
