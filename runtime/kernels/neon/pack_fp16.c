// pack_fp16.c - float32 to float16: rows in fours of depth for a product, and numbers one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#if defined(__aarch64__)

static void store_four(uint16_t *p, float32x4_t v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }

// Four floats of each of two rows.
static void store_two(uint16_t *p, float32x4_t low, float32x4_t high) {
    vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(low), high)));
}

static void pack_four_rows(const float *const *a, size_t whole, uint16_t *packed, size_t rows) {
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    for (size_t k = 0; k < whole; k += 4, packed += rows * 4) {
        const float32x4_t x0 = vld1q_f32(a0 + k), x1 = vld1q_f32(a1 + k), x2 = vld1q_f32(a2 + k), x3 = vld1q_f32(a3 + k);
        store_two(packed, x0, x1);
        store_two(packed + 8, x2, x3);
    }
}

static void pack_row(const float *a, size_t whole, uint16_t *packed, size_t rows) {
    for (size_t k = 0; k < whole; k += 4, packed += rows * 4) store_four(packed, vld1q_f32(a + k));
}

// Rows that do not fill a four of them are packed together with some that are packed already, as in pack.c.
void tody_pack_f16_neon(const tody_pack_f32 *args) {
    const size_t rows = args->rows, depth = args->depth, whole = depth / 4 * 4;
    uint16_t *packed = args->packed_f16;
    for (const float *const *a = args->a; a < args->a + args->taps * rows; a += rows, packed += (depth + 3) / 4 * 4 * rows) {
        for (size_t i = 0; i < rows; i += rows < 4 ? 1 : 4) {
            const size_t row = rows < 4 || i + 4 <= rows ? i : rows - 4;
            if (rows < 4)
                pack_row(a[row], whole, packed + row * 4, rows);
            else
                pack_four_rows(a + row, whole, packed + row * 4, rows);
        }
        for (size_t i = 0; whole < depth && i < rows; i++)
            store_four(packed + (whole * rows + i * 4), load_some(a[i] + whole, depth - whole));
    }
}

void tody_round_f16_neon(const float *x, uint16_t *y, size_t count) {
    for (size_t i = 0; i < count; i += 8) store_two(y + i, vld1q_f32(x + i), vld1q_f32(x + i + 4));
}

#endif
