// gemm_s8_dot.c - int8 matrix product by dot product instructions (sdot, Armv8.2): 8 rows by 8 columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

#if defined(__ARM_FEATURE_DOTPROD)

typedef struct block {
    sums s0, s1, s2, s3, s4, s5, s6, s7;
} block;

// Compilers other than gcc want the lane as a literal.
INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t w, int8x16_t x, const int lane) {
    switch (lane) {
        case 0: return vdotq_laneq_s32(sum, w, x, 0);
        case 1: return vdotq_laneq_s32(sum, w, x, 1);
        case 2: return vdotq_laneq_s32(sum, w, x, 2);
        default: return vdotq_laneq_s32(sum, w, x, 3);
    }
}

INLINE sums add(sums s, int8x16_t x, int8x16_t w_low, int8x16_t w_high, const int lane) {
    s.low = dot_lane(s.low, w_low, x, lane);
    s.high = dot_lane(s.high, w_high, x, lane);
    return s;
}

// Sixteen values of depth of each row.
typedef struct lines {
    int8x16_t x0, x1, x2, x3, x4, x5, x6, x7;
} lines;

INLINE block add_lane(block b, lines x, const int8_t *w, sums *weights, const uint32_t rows, const int lane) {
    const int8x16_t low = vld1q_s8(w + 64 * lane), high = vld1q_s8(w + 64 * lane + 16), ones = vdupq_n_s8(1);
    weights->low = vdotq_s32(weights->low, low, ones);
    weights->high = vdotq_s32(weights->high, high, ones);
    b.s0 = add(b.s0, x.x0, low, high, lane);
    if (rows > 1) b.s1 = add(b.s1, x.x1, low, high, lane);
    if (rows > 2) b.s2 = add(b.s2, x.x2, low, high, lane);
    if (rows > 3) b.s3 = add(b.s3, x.x3, low, high, lane);
    if (rows > 4) b.s4 = add(b.s4, x.x4, low, high, lane);
    if (rows > 5) b.s5 = add(b.s5, x.x5, low, high, lane);
    if (rows > 6) b.s6 = add(b.s6, x.x6, low, high, lane);
    if (rows > 7) b.s7 = add(b.s7, x.x7, low, high, lane);
    return b;
}

// Four values of a row, or what is left of them, in lane 0.
INLINE int8x16_t load_one(const tody_gemm_s8 *g, const int8_t *a, uint32_t k) {
    return vreinterpretq_s8_s32(vdupq_n_s32(load_four(a + k, g->depth - k, g->layer.x_zero)));
}

INLINE void tile(const tody_gemm_s8 *g, const uint32_t rows, uint32_t column) {
    const sums zero = {vdupq_n_s32(0), vdupq_n_s32(0)};
    block b = {zero, zero, zero, zero, zero, zero, zero, zero};
    sums weights = zero;
    const int8_t *w = g->w + (size_t)column * 4;
    const int8_t *const *a = g->a;
    for (uint32_t t = 0; t < g->taps; t++, a += rows) {
        const int8_t *a0 = a[0], *a1 = a[1 % rows], *a2 = a[2 % rows], *a3 = a[3 % rows], *a4 = a[4 % rows], *a5 = a[5 % rows],
                     *a6 = a[6 % rows], *a7 = a[7 % rows];
        uint32_t k = 0;
        for (; k + 16 <= g->depth; k += 16, w += 256) {
            const lines x = {vld1q_s8(a0 + k), vld1q_s8(a1 + k), vld1q_s8(a2 + k), vld1q_s8(a3 + k),
                             vld1q_s8(a4 + k), vld1q_s8(a5 + k), vld1q_s8(a6 + k), vld1q_s8(a7 + k)};
            b = add_lane(b, x, w, &weights, rows, 0);
            b = add_lane(b, x, w, &weights, rows, 1);
            b = add_lane(b, x, w, &weights, rows, 2);
            b = add_lane(b, x, w, &weights, rows, 3);
        }
        for (; k < g->depth; k += 4, w += 64) {
            const lines x = {load_one(g, a0, k), load_one(g, a1, k), load_one(g, a2, k), load_one(g, a3, k),
                             load_one(g, a4, k), load_one(g, a5, k), load_one(g, a6, k), load_one(g, a7, k)};
            b = add_lane(b, x, w, &weights, rows, 0);
        }
    }
    const sums all[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7};
    for (uint32_t i = 0; i < rows; i++) finish_row(g, i, column, all[i], weights);
}

static void run(const tody_gemm_s8 *args) {
    for (uint32_t column = 0; column < args->cols; column += 8) {
        switch (args->rows) {
            case 1: tile(args, 1, column); break;
            case 2: tile(args, 2, column); break;
            case 3: tile(args, 3, column); break;
            case 4: tile(args, 4, column); break;
            case 5: tile(args, 5, column); break;
            case 6: tile(args, 6, column); break;
            case 7: tile(args, 7, column); break;
            default: tile(args, 8, column); break;
        }
    }
}

const tody_kernels tody_kernels_neon_dot = {
    .name = "neon_dot",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_DOT,
    .gemm_s8_rows = 8,
    .gemm_s8_panels = 1,
    .gemm_s8 = run,
    .sparse_s8_rows = 32,
    .sparse_s8_shift = 0,
    .words_s8 = tody_words_s8_neon_dot,
    .sparse_s8 = tody_sparse_s8_neon_dot,
};

#endif
