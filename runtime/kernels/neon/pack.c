// pack.c - rows of float32 in fours of depth, so that a product reads them one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

enum { TOGETHER = 4 };  // rows

// The whole fours of some rows; `rows` are in a tile.
static void pack_four_rows(const float *const *a, size_t whole, float *packed, size_t rows) {
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    for (size_t k = 0; k < whole; k += 4, packed += rows * 4) {
        const float32x4_t x0 = load(a0 + k), x1 = load(a1 + k), x2 = load(a2 + k), x3 = load(a3 + k);
        store(packed, x0);
        store(packed + 4, x1);
        store(packed + 8, x2);
        store(packed + 12, x3);
    }
}

static void pack_row(const float *a, size_t whole, float *packed, size_t rows) {
    for (size_t k = 0; k < whole; k += 4, packed += rows * 4) store(packed, load(a + k));
}

// Rows that do not fill a four of them are packed together with some that are packed already.
void tody_pack_f32_neon(const tody_pack_f32 *args) {
    const size_t rows = args->rows, depth = args->depth, whole = depth / 4 * 4;
    float *packed = args->packed;
    for (const float *const *a = args->a; a < args->a + args->taps * rows; a += rows, packed += (depth + 3) / 4 * 4 * rows) {
        for (size_t i = 0; i < rows; i += rows < TOGETHER ? 1 : TOGETHER) {
            const size_t row = rows < TOGETHER || i + TOGETHER <= rows ? i : rows - TOGETHER;
            if (rows < TOGETHER)
                pack_row(a[row], whole, packed + row * 4, rows);
            else
                pack_four_rows(a + row, whole, packed + row * 4, rows);
        }
        for (size_t i = 0; whole < depth && i < rows; i++)
            store(packed + (whole * rows + i * 4), load_some(a[i] + whole, depth - whole));
    }
}
