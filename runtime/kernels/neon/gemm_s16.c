// gemm_s16.c - int16 matrix product: 4 rows by half a panel of 16 columns, a value of a row by 8 columns at once (smlal).
// SPDX-License-Identifier: Apache-2.0
#include "neon_s16.h"

enum { TILE = GEMM_S16_ROWS, HALF = 8 };

// 8 columns of up to four rows.
typedef struct lines {
    sums s0, s1, s2, s3;
} lines;

// Four values of depth of each row.
typedef struct fours_s16 {
    int16x4_t x0, x1, x2, x3;
} fours_s16;

// s + x[lane] times the weights of a value of depth, for both of a group of two: lanes 0 and 1, or 2 and 3.
#if defined(__aarch64__)

INLINE sums add_first(sums s, int16x8x2_t w, int16x4_t x) {
    s = (sums){vmlal_lane_s16(s.low, vget_low_s16(w.val[0]), x, 0), vmlal_high_lane_s16(s.high, w.val[0], x, 0)};
    return (sums){vmlal_lane_s16(s.low, vget_low_s16(w.val[1]), x, 1), vmlal_high_lane_s16(s.high, w.val[1], x, 1)};
}

INLINE sums add_second(sums s, int16x8x2_t w, int16x4_t x) {
    s = (sums){vmlal_lane_s16(s.low, vget_low_s16(w.val[0]), x, 2), vmlal_high_lane_s16(s.high, w.val[0], x, 2)};
    return (sums){vmlal_lane_s16(s.low, vget_low_s16(w.val[1]), x, 3), vmlal_high_lane_s16(s.high, w.val[1], x, 3)};
}

#else

INLINE sums add_first(sums s, int16x8x2_t w, int16x4_t x) {
    s.low = vmlal_lane_s16(vmlal_lane_s16(s.low, vget_low_s16(w.val[0]), x, 0), vget_low_s16(w.val[1]), x, 1);
    s.high = vmlal_lane_s16(vmlal_lane_s16(s.high, vget_high_s16(w.val[0]), x, 0), vget_high_s16(w.val[1]), x, 1);
    return s;
}

INLINE sums add_second(sums s, int16x8x2_t w, int16x4_t x) {
    s.low = vmlal_lane_s16(vmlal_lane_s16(s.low, vget_low_s16(w.val[0]), x, 2), vget_low_s16(w.val[1]), x, 3);
    s.high = vmlal_lane_s16(vmlal_lane_s16(s.high, vget_high_s16(w.val[0]), x, 2), vget_high_s16(w.val[1]), x, 3);
    return s;
}

#endif

// One group of weights, or two, 64 bytes apart.
INLINE lines add_groups(lines s, fours_s16 x, const int16_t *w, const uint32_t rows, const bool both) {
    const int16x8x2_t near = vld2q_s16(w);
    s.s0 = add_first(s.s0, near, x.x0);
    if (rows > 1) s.s1 = add_first(s.s1, near, x.x1);
    if (rows > 2) s.s2 = add_first(s.s2, near, x.x2);
    if (rows > 3) s.s3 = add_first(s.s3, near, x.x3);
    if (!both) return s;
    const int16x8x2_t far = vld2q_s16(w + 2 * TODY_PANEL_F32);
    s.s0 = add_second(s.s0, far, x.x0);
    if (rows > 1) s.s1 = add_second(s.s1, far, x.x1);
    if (rows > 2) s.s2 = add_second(s.s2, far, x.x2);
    if (rows > 3) s.s3 = add_second(s.s3, far, x.x3);
    return s;
}

// The first `count` of four values, then zeros: what weights hold behind the depth does not count.
INLINE int16x4_t load_some(const int16_t *x, const size_t count) {
    int16_t part[4] = {0};
    if (count >= 4) return vld1_s16(x);
    memcpy(part, x, count * sizeof *x);
    return vld1_s16(part);
}

INLINE fours_s16 load_rows(const int16_t *const *a, size_t k, const uint32_t rows, const size_t count) {
    fours_s16 x = {.x0 = load_some(a[0] + k, count)};
    if (rows > 1) x.x1 = load_some(a[1] + k, count);
    if (rows > 2) x.x2 = load_some(a[2] + k, count);
    if (rows > 3) x.x3 = load_some(a[3] + k, count);
    return x;
}

// Columns [first, first + 8) of the panel, of which the first `count` are there.
INLINE void tile(const tody_gemm_s16 *g, uint32_t first, size_t count, const uint32_t rows) {
    const int32x4_t none = vdupq_n_s32(0);
    const sums start = {g->bias ? vld1q_s32(g->bias + first) : none, g->bias ? vld1q_s32(g->bias + first + 4) : none};
    lines s = {start, start, start, start};
    const int16_t *w = g->w + 2 * first;
    const int16_t *const *a = g->a;
    for (uint32_t t = 0; t < g->taps; t++, a += rows) {
        size_t k = 0;
        for (; k + 4 <= g->depth; k += 4, w += 4 * TODY_PANEL_F32) s = add_groups(s, load_rows(a, k, rows, 4), w, rows, true);
        const size_t left = g->depth - k;
        if (left > 2)
            s = add_groups(s, load_rows(a, k, rows, left), w, rows, true);
        else if (left > 0)
            s = add_groups(s, load_rows(a, k, rows, left), w, rows, false);
        w += (left + 1) / 2 * 2 * TODY_PANEL_F32;
    }
    const sums all[] = {s.s0, s.s1, s.s2, s.s3};
    const factors f = load_factors(g->scale + first, g->layer.slopes);
    for (uint32_t i = 0; i < rows; i++) {
        const int16_t *addend = g->addend ? g->addend + i * g->addend_stride + first : NULL;
        finish_s16(g->c + i * g->c_stride + first, count, all[i], f, addend, &g->layer);
    }
}

void tody_gemm_s16_neon(const tody_gemm_s16 *args) {
    const tody_gemm_s16 g = *args;  // results could be anything else
    for (uint32_t first = 0; first < g.cols; first += HALF) {
        const size_t count = g.cols - first < HALF ? g.cols - first : HALF;
        switch (g.rows) {
            case 1: tile(&g, first, count, 1); break;
            case 2: tile(&g, first, count, 2); break;
            case 3: tile(&g, first, count, 3); break;
            default: tile(&g, first, count, TILE); break;
        }
    }
}
