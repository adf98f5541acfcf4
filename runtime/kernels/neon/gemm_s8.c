// gemm_s8.c - int8 matrix product on panels of 16 columns, half a panel at a time: 4 rows (ARMv7: 2) by 8 columns.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: products of bytes fit int16, and neighbours are added into int32 (smull, sadalp). The zero point of x, which does not
// fit a byte any more once it is subtracted, goes through the sums of the weights.
#include "neon_s8.h"

// 8 columns of one row; of each column the sums of even and of odd pairs stand side by side.
typedef struct halves {
    int32x4_t v0, v1, v2, v3;
} halves;

#if defined(__aarch64__)
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_high_s8(a, b); }
#else
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_s8(vget_high_s8(a), vget_high_s8(b)); }
#endif

INLINE halves add(halves s, int32_t four, int8x16_t w_low, int8x16_t w_high) {
    const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
    s.v0 = vpadalq_s16(s.v0, vmull_s8(vget_low_s8(w_low), vget_low_s8(x)));
    s.v1 = vpadalq_s16(s.v1, multiply_high(w_low, x));
    s.v2 = vpadalq_s16(s.v2, vmull_s8(vget_low_s8(w_high), vget_low_s8(x)));
    s.v3 = vpadalq_s16(s.v3, multiply_high(w_high, x));
    return s;
}

INLINE int32x4_t join(int32x4_t a, int32x4_t b) {
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
}

// Sums of 8 columns.
INLINE sums add_weights(sums s, int8x16_t low, int8x16_t high) {
    s.low = vpadalq_s16(s.low, vpaddlq_s8(low));
    s.high = vpadalq_s16(s.high, vpaddlq_s8(high));
    return s;
}

INLINE void tile(const tody_gemm_s8 *g, const uint32_t rows, uint32_t column) {
    const int32x4_t zero = vdupq_n_s32(0);
    const int32_t x_zero = g->layer.x_zero;
    halves s0 = {zero, zero, zero, zero}, s1 = s0, s2 = s0, s3 = s0;
    sums weights = {zero, zero};
    const int8_t *w = g->w + (size_t)column * 4;
    const int8_t *const *a = g->a;
    for (uint32_t t = 0; t < g->taps; t++, a += rows) {
        const int8_t *a0 = a[0], *a1 = a[1 % rows], *a2 = a[2 % rows], *a3 = a[3 % rows];
        uint32_t k = 0;
        for (; k + 4 <= g->depth; k += 4, w += 64) {
            const int8x16_t low = vld1q_s8(w), high = vld1q_s8(w + 16);
            weights = add_weights(weights, low, high);
            s0 = add(s0, load_four(a0 + k, 4, x_zero), low, high);
            if (rows > 1) s1 = add(s1, load_four(a1 + k, 4, x_zero), low, high);
            if (rows > 2) s2 = add(s2, load_four(a2 + k, 4, x_zero), low, high);
            if (rows > 3) s3 = add(s3, load_four(a3 + k, 4, x_zero), low, high);
        }
        if (k == g->depth) continue;
        const int8x16_t low = vld1q_s8(w), high = vld1q_s8(w + 16);
        const uint32_t left = g->depth - k;
        weights = add_weights(weights, low, high);
        s0 = add(s0, load_four(a0 + k, left, x_zero), low, high);
        if (rows > 1) s1 = add(s1, load_four(a1 + k, left, x_zero), low, high);
        if (rows > 2) s2 = add(s2, load_four(a2 + k, left, x_zero), low, high);
        if (rows > 3) s3 = add(s3, load_four(a3 + k, left, x_zero), low, high);
        w += 64;
    }
    const halves all[] = {s0, s1, s2, s3};
    for (uint32_t i = 0; i < rows; i++) {
        finish_row(g, i, column, (sums){join(all[i].v0, all[i].v1), join(all[i].v2, all[i].v3)}, weights);
    }
}

static void large_tile(const tody_gemm_s8 *g, uint32_t column) {
    if (g->rows == 3) {
        tile(g, 3, column);
    } else {
        tile(g, 4, column);
    }
}

void tody_gemm_s8_neon(const tody_gemm_s8 *args) {
    for (uint32_t column = 0; column < args->cols; column += 8) {
        if (GEMM_S8_ROWS > 2 && args->rows > 2) {
            large_tile(args, column);
        } else if (args->rows == 2) {
            tile(args, 2, column);
        } else {
            tile(args, 1, column);
        }
    }
}
