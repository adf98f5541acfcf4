// gemm_s8.c - int8 matrix product on panels of 16 columns, half a panel at a time: 4 rows (ARMv7: 2) by 8 columns.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: a product of bytes fits int16, and so do two if no weight is -128: 2 * 128 * 127 < 2^15. Neighbours are added into
// int32 (sadalp), for two groups of depth at once where they may be.
#include "neon_s8.h"

enum { TILE = GEMM_S8_ROWS };

#include "gemm_s8.h"
#include "schedule.h"

// 8 columns of one row; of each column the sums of even and of odd pairs stand side by side.
typedef struct halves {
    int32x4_t v0, v1, v2, v3;
} halves;

// A group of depth in 8 columns.
typedef struct weights {
    int8x16_t low, high;
} weights;

#if defined(__aarch64__)
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_high_s8(a, b); }
INLINE int16x8_t multiply_more_high(int16x8_t s, int8x16_t a, int8x16_t b) { return vmlal_high_s8(s, a, b); }
#else
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_s8(vget_high_s8(a), vget_high_s8(b)); }
INLINE int16x8_t multiply_more_high(int16x8_t s, int8x16_t a, int8x16_t b) {
    return vmlal_s8(s, vget_high_s8(a), vget_high_s8(b));
}
#endif

INLINE int16x8_t multiply(int8x16_t a, int8x16_t b) { return vmull_s8(vget_low_s8(a), vget_low_s8(b)); }
INLINE int16x8_t multiply_more(int16x8_t s, int8x16_t a, int8x16_t b) { return vmlal_s8(s, vget_low_s8(a), vget_low_s8(b)); }

// One group of depth.
INLINE halves add(halves s, int8x16_t x, weights w) {
    s.v0 = vpadalq_s16(s.v0, multiply(w.low, x));
    s.v1 = vpadalq_s16(s.v1, multiply_high(w.low, x));
    s.v2 = vpadalq_s16(s.v2, multiply(w.high, x));
    s.v3 = vpadalq_s16(s.v3, multiply_high(w.high, x));
    return s;
}

// Two groups of depth.
INLINE halves add_two(halves s, const int8_t **row, weights w, weights v) {
    const int8x16_t x = load_group_s8(row), y = load_group_s8(row);
    const int16x8_t p0 = multiply(w.low, x), p1 = multiply_high(w.low, x);
    const int16x8_t p2 = multiply(w.high, x), p3 = multiply_high(w.high, x);
    const int16x8_t q0 = multiply_more(p0, v.low, y), q1 = multiply_more_high(p1, v.low, y);
    const int16x8_t q2 = multiply_more(p2, v.high, y), q3 = multiply_more_high(p3, v.high, y);
    s.v0 = vpadalq_s16(s.v0, q0);
    s.v1 = vpadalq_s16(s.v1, q1);
    s.v2 = vpadalq_s16(s.v2, q2);
    s.v3 = vpadalq_s16(s.v3, q3);
    return s;
}

INLINE weights load_weights(const int8_t *w) { return (weights){vld1q_s8(w), vld1q_s8(w + 16)}; }

INLINE int32x4_t join(int32x4_t a, int32x4_t b) {
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, const bool narrow, sums *s) {
    const int32x4_t zero = vdupq_n_s32(0);
    halves s0 = {zero, zero, zero, zero}, s1 = s0, s2 = s0, s3 = s0;
    const size_t stride = g->packed_stride;
    const int8_t *a0 = a, *a1 = a0 + stride, *a2 = a1 + stride, *a3 = a2 + stride, *w = c->w, *end = w + c->groups * 64;
    for (; narrow && w + 64 < end; w += 128) {
        const weights one = load_weights(w), two = load_weights(w + 64);
        s0 = add_two(s0, &a0, one, two);
        if (rows > 1) s1 = add_two(s1, &a1, one, two);
        if (rows > 2) s2 = add_two(s2, &a2, one, two);
        if (rows > 3) s3 = add_two(s3, &a3, one, two);
    }
    for (; w < end; w += 64) {
        const weights one = load_weights(w);
        s0 = add(s0, load_group_s8(&a0), one);
        if (rows > 1) s1 = add(s1, load_group_s8(&a1), one);
        if (rows > 2) s2 = add(s2, load_group_s8(&a2), one);
        if (rows > 3) s3 = add(s3, load_group_s8(&a3), one);
    }
    const halves all[] = {s0, s1, s2, s3};
    for (uint32_t i = 0; i < rows; i++) s[i] = (sums){join(all[i].v0, all[i].v1), join(all[i].v2, all[i].v3)};
}

INLINE void tile_narrow(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, const bool narrow, sums *s) {
    if (rows == 1)
        tile_of(g, c, a, 1, narrow, s);
    else if (rows == 2)
        tile_of(g, c, a, 2, narrow, s);
    else if (rows < TILE)  // three, where a tile has four
        tile_of(g, c, a, 3, narrow, s);
    else
        tile_of(g, c, a, TILE, narrow, s);
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    if (c->narrow)
        tile_narrow(g, c, a, rows, true, s);
    else
        tile_narrow(g, c, a, rows, false, s);
}

void tody_gemm_s8_neon(const tody_gemm_s8 *args) { run_block(args); }
