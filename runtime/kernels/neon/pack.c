// pack.c - rows of float32 in fours of depth, so that a product reads them one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

enum { TOGETHER = 4 };  // rows

// Eight floats of four rows, to two fours of depth that lie `far` floats apart.
static inline __attribute__((always_inline)) void pack_eight(const float **a0, const float **a1, const float **a2,
                                                             const float **a3, float *packed, size_t far) {
    float32x4_t x0, x1, x2, x3, y0, y1, y2, y3;
    load_next_pair_f32(a0, 32, &x0, &y0);
    load_next_pair_f32(a1, 32, &x1, &y1);
    load_next_pair_f32(a2, 32, &x2, &y2);
    load_next_pair_f32(a3, 32, &x3, &y3);
    store_pair_f32(packed, 0, x0, x1);
    store_pair_f32(packed, 32, x2, x3);
    store_pair_f32(packed + far, 0, y0, y1);
    store_pair_f32(packed + far, 32, y2, y3);
}

// The whole fours of some rows; `rows` are in a tile.
static void pack_four_rows(const float *const *a, size_t whole, float *packed, size_t rows) {
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    for (size_t k = whole / 8; k > 0; k--, packed += rows * 8) pack_eight(&a0, &a1, &a2, &a3, packed, rows * 4);
    if (whole % 8 == 0) return;
    store_pair_f32(packed, 0, load(a0), load(a1));
    store_pair_f32(packed, 32, load(a2), load(a3));
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
