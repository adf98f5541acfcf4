// binary_s8_avx2.c - functions of two int8, 32 at a time.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "vector_s8_avx2.h"

enum { LANES = 32 };

#define INLINE static inline __attribute__((always_inline))  // what is the same for all elements is a constant after inlining

INLINE __m256i load_vector(const int8_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

// Eight values less their zero point, which is exact.
INLINE vector widen(const int8_t *x, int32_t zero) {
    const __m256i value = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)x));
    return _mm256_cvtepi32_ps(sub_s32(value, all_s32(zero)));
}

// Eight results as int32 without `lo` and zero point. The product of two differences is exact, too.
INLINE __m256i eight(const tody_binary_s8 *b, const uint32_t fn2, const int8_t *x, const int8_t *y) {
    const vector p = widen(x, b->x_zero), q = widen(y, b->y_zero), scale = all(b->x_scale);
    const vector z = fn2 == TODY_FN2_MUL ? mul(mul(p, q), scale) : add(mul(p, scale), mul(q, all(b->y_scale)));
    return _mm256_cvtps_epi32(_mm256_min_ps(z, all(b->finish.hi)));
}

INLINE __m256i sixteen(const tody_binary_s8 *b, const uint32_t fn2, const int8_t *x, const int8_t *y) {
    const __m256i lo = _mm256_set1_epi16((short)((int32_t)b->finish.lo + b->finish.zero));
    const __m256i words = _mm256_packs_epi32(eight(b, fn2, x, y), eight(b, fn2, x + 8, y + 8));
    return _mm256_max_epi16(_mm256_adds_epi16(words, _mm256_set1_epi16((short)b->finish.zero)), lo);
}

INLINE __m256i apply(const tody_binary_s8 *b, const uint32_t fn2, const int8_t *x, const int8_t *y) {
    if (fn2 == TODY_FN2_MIN) return _mm256_min_epi8(load_vector(x), load_vector(y));
    if (fn2 == TODY_FN2_MAX) return _mm256_max_epi8(load_vector(x), load_vector(y));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works in halves
    const __m256i bytes = _mm256_packs_epi16(sixteen(b, fn2, x, y), sixteen(b, fn2, x + 16, y + 16));
    return _mm256_permutevar8x32_epi32(bytes, order);
}

INLINE void map(const tody_binary_s8 *args, const uint32_t fn2, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    const tody_binary_s8 b = *args;
    int8_t some_x[LANES] = {0}, some_y[LANES] = {0}, some_z[LANES];
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) _mm256_storeu_si256((__m256i *)(void *)(z + i), apply(&b, fn2, x + i, y + i));
    if (i == count) return;
    memcpy(some_x, x + i, count - i);
    memcpy(some_y, y + i, count - i);
    _mm256_storeu_si256((__m256i *)(void *)some_z, apply(&b, fn2, some_x, some_y));
    memcpy(z + i, some_z, count - i);
}

void tody_binary_s8_avx2(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    tody_binary_s8 b = *args;
    if (b.fn2 == TODY_FN2_SUB) b.y_scale = -b.y_scale;
    switch (b.fn2) {
        case TODY_FN2_MUL: map(&b, TODY_FN2_MUL, x, y, z, count); break;
        case TODY_FN2_MIN: map(&b, TODY_FN2_MIN, x, y, z, count); break;
        case TODY_FN2_MAX: map(&b, TODY_FN2_MAX, x, y, z, count); break;
        default: map(&b, TODY_FN2_ADD, x, y, z, count); break;
    }
}
