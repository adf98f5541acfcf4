// transpose_avx2.c - rows become columns: blocks of 8 x 8, and three rows (the planes of a picture) into pixels.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

enum { SIDE = 8 };

static inline vector load_words(const uint32_t *x) { return load((const float *)(const void *)x); }
static inline void store_words(uint32_t *y, vector v) { store((float *)(void *)y, v); }

// Each half of `low` has columns of the first four rows of the block, the same half of `high` those of the last four.
static inline void store_columns(uint32_t *y, size_t y_stride, vector low, vector high) {
    store_words(y, _mm256_permute2f128_ps(low, high, 0x20));
    store_words(y + 4 * y_stride, _mm256_permute2f128_ps(low, high, 0x31));
}

// Columns 0 to 3 in the lower halves, 4 to 7 in the upper ones, of four rows.
typedef struct quarter {
    vector column[4];
} quarter;

static inline quarter turn(const uint32_t *x, size_t x_stride) {
    const vector r0 = load_words(x), r1 = load_words(x + x_stride);
    const vector r2 = load_words(x + 2 * x_stride), r3 = load_words(x + 3 * x_stride);
    const vector a = _mm256_unpacklo_ps(r0, r1), b = _mm256_unpackhi_ps(r0, r1);
    const vector c = _mm256_unpacklo_ps(r2, r3), d = _mm256_unpackhi_ps(r2, r3);
    return (quarter){{_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xEE), _mm256_shuffle_ps(b, d, 0x44),
                      _mm256_shuffle_ps(b, d, 0xEE)}};
}

static inline void block(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride) {
    const quarter low = turn(x, x_stride), high = turn(x + 4 * x_stride, x_stride);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) store_columns(y + i * y_stride, y_stride, low.column[i], high.column[i]);
}

// Words [8 part, 8 part + 8) of eight pixels: word i is of pixel i / 3, and of the plane that the masks tell.
static inline void store_pixels(uint32_t *y, vector p0, vector p1, vector p2, __m256i pixel, int second, int third) {
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i in_second = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(second), bits), bits);
    const __m256i in_third = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(third), bits), bits);
    vector v = _mm256_permutevar8x32_ps(p0, pixel);
    v = choose(truth_of(in_second), _mm256_permutevar8x32_ps(p1, pixel), v);
    store_words(y, choose(truth_of(in_third), _mm256_permutevar8x32_ps(p2, pixel), v));
}

// Pixels of three planes. Returns how many are done: what is left does not fill a vector.
static size_t interleave(const uint32_t *x, size_t x_stride, uint32_t *y, size_t cols) {
    size_t j = 0;
    for (; j + SIDE <= cols; j += SIDE, y += 3 * SIDE) {
        const vector p0 = load_words(x + j), p1 = load_words(x + x_stride + j), p2 = load_words(x + 2 * x_stride + j);
        store_pixels(y, p0, p1, p2, _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2), 0x92, 0x24);
        store_pixels(y + 8, p0, p1, p2, _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5), 0x24, 0x49);
        store_pixels(y + 16, p0, p1, p2, _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7), 0x49, 0x92);
    }
    return j;
}

void tody_transpose_b32_avx2(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols) {
    void (*const rest)(const uint32_t *, size_t, uint32_t *, size_t, size_t, size_t) = tody_kernels_portable.transpose_b32;
    if (rows == 3 && y_stride == 3) {
        const size_t done = interleave(x, x_stride, y, cols);
        rest(x + done, x_stride, y + done * 3, 3, 3, cols - done);
        return;
    }
    const size_t whole_rows = rows / SIDE * SIDE, whole_cols = cols / SIDE * SIDE;
    for (size_t j = 0; j < whole_cols; j += SIDE) {
        for (size_t i = 0; i < whole_rows; i += SIDE) block(x + i * x_stride + j, x_stride, y + j * y_stride + i, y_stride);
    }
    rest(x + whole_cols, x_stride, y + whole_cols * y_stride, y_stride, whole_rows, cols - whole_cols);
    rest(x + whole_rows * x_stride, x_stride, y + whole_rows, y_stride, rows - whole_rows, cols);
}
