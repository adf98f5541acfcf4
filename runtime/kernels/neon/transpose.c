// transpose.c - rows become columns, four by four; three planes become pixels of three values.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

enum { TILE = 16, SQUARE = 4 };  // TILE: a cache line of either matrix

static void square(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride) {
    const uint32x4x2_t upper = vtrnq_u32(vld1q_u32(x), vld1q_u32(x + x_stride));
    const uint32x4x2_t lower = vtrnq_u32(vld1q_u32(x + 2 * x_stride), vld1q_u32(x + 3 * x_stride));
    vst1q_u32(y, vcombine_u32(vget_low_u32(upper.val[0]), vget_low_u32(lower.val[0])));
    vst1q_u32(y + y_stride, vcombine_u32(vget_low_u32(upper.val[1]), vget_low_u32(lower.val[1])));
    vst1q_u32(y + 2 * y_stride, vcombine_u32(vget_high_u32(upper.val[0]), vget_high_u32(lower.val[0])));
    vst1q_u32(y + 3 * y_stride, vcombine_u32(vget_high_u32(upper.val[1]), vget_high_u32(lower.val[1])));
}

// Rows and columns are multiples of four.
static void squares(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols) {
    for (size_t i = 0; i < rows; i += SQUARE) {
        for (size_t j = 0; j < cols; j += SQUARE) square(x + i * x_stride + j, x_stride, y + j * y_stride + i, y_stride);
    }
}

// The first columns of three rows, a multiple of four, side by side.
static void interleave(const uint32_t *x, size_t x_stride, uint32_t *y, size_t cols) {
    for (size_t j = 0; j < cols; j += SQUARE) {
        const uint32x4_t red = vld1q_u32(x + j), green = vld1q_u32(x + x_stride + j), blue = vld1q_u32(x + 2 * x_stride + j);
        const uint32x4x3_t pixels = {{red, green, blue}};
        vst3q_u32(y + j * 3, pixels);
    }
}

// What does not fill a square is left to portable.
void tody_transpose_b32_neon(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols) {
    const bool pixels = rows == 3 && y_stride == 3;
    const size_t whole_rows = pixels ? rows : rows / SQUARE * SQUARE, whole = cols / SQUARE * SQUARE;
    if (pixels) interleave(x, x_stride, y, whole);
    for (size_t i = 0; !pixels && i < whole_rows; i += TILE) {
        const size_t tile_rows = whole_rows - i < TILE ? whole_rows - i : TILE;
        for (size_t j = 0; j < whole; j += TILE) {
            const size_t tile_cols = whole - j < TILE ? whole - j : TILE;
            squares(x + i * x_stride + j, x_stride, y + j * y_stride + i, y_stride, tile_rows, tile_cols);
        }
    }
    void (*portable)(const uint32_t *, size_t, uint32_t *, size_t, size_t, size_t) = tody_kernels_portable.transpose_b32;
    portable(x + whole, x_stride, y + whole * y_stride, y_stride, whole_rows, cols - whole);
    portable(x + whole_rows * x_stride, x_stride, y + whole_rows, y_stride, rows - whole_rows, cols);
}
