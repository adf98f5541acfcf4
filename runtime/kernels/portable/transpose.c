// transpose.c - rows become columns.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

#define TILE 16u  // a cache line of either matrix

static void tile(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols) {
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) y[j * y_stride + i] = x[i * x_stride + j];
}

void tody_portable_transpose_b32(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols) {
    for (size_t i = 0; i < rows; i += TILE) {
        size_t tile_rows = rows - i < TILE ? rows - i : TILE;
        for (size_t j = 0; j < cols; j += TILE) {
            size_t tile_cols = cols - j < TILE ? cols - j : TILE;
            tile(x + i * x_stride + j, x_stride, y + j * y_stride + i, y_stride, tile_rows, tile_cols);
        }
    }
}
