// gemm_s8_dot.c - int8 matrix product by dot product instructions (sdot, Armv8.2): 8 rows by 8 columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "neon_s8.h"

#if defined(__ARM_FEATURE_DOTPROD)

enum { TILE = 8 };

#include "gemm_s8.h"
#include "schedule.h"

typedef struct block {
    sums s0, s1, s2, s3, s4, s5, s6, s7;
} block;

// A group of depth in 8 columns.
typedef struct weights {
    int8x16_t low, high;
} weights;

// Sixteen values of depth of each row.
typedef struct lines {
    int8x16_t x0, x1, x2, x3, x4, x5, x6, x7;
} lines;

INLINE sums add(sums s, int8x16_t x, weights w, const int lane) {
    return (sums){dot_lane_s8(s.low, w.low, x, lane), dot_lane_s8(s.high, w.high, x, lane)};
}

INLINE block add_lane(block b, lines x, weights w, const uint32_t rows, const int lane) {
    b.s0 = add(b.s0, x.x0, w, lane);
    if (rows > 1) b.s1 = add(b.s1, x.x1, w, lane);
    if (rows > 2) b.s2 = add(b.s2, x.x2, w, lane);
    if (rows > 3) b.s3 = add(b.s3, x.x3, w, lane);
    if (rows > 4) b.s4 = add(b.s4, x.x4, w, lane);
    if (rows > 5) b.s5 = add(b.s5, x.x5, w, lane);
    if (rows > 6) b.s6 = add(b.s6, x.x6, w, lane);
    if (rows > 7) b.s7 = add(b.s7, x.x7, w, lane);
    return b;
}

INLINE lines load_lines(const int8_t *const *a, size_t at, const uint32_t rows) {
    lines x = {.x0 = load_s8(a[0], at)};
    if (rows > 1) x.x1 = load_s8(a[1], at);
    if (rows > 2) x.x2 = load_s8(a[2], at);
    if (rows > 3) x.x3 = load_s8(a[3], at);
    if (rows > 4) x.x4 = load_s8(a[4], at);
    if (rows > 5) x.x5 = load_s8(a[5], at);
    if (rows > 6) x.x6 = load_s8(a[6], at);
    if (rows > 7) x.x7 = load_s8(a[7], at);
    return x;
}

// One group, in lane 0.
INLINE int8x16_t load_group(const int8_t *x) {
    int32_t group;
    memcpy(&group, x, sizeof group);
    return vreinterpretq_s8_s32(vdupq_n_s32(group));
}

INLINE lines load_groups(const int8_t *const *a, size_t at, const uint32_t rows) {
    lines x = {.x0 = load_group(a[0] + at)};
    if (rows > 1) x.x1 = load_group(a[1] + at);
    if (rows > 2) x.x2 = load_group(a[2] + at);
    if (rows > 3) x.x3 = load_group(a[3] + at);
    if (rows > 4) x.x4 = load_group(a[4] + at);
    if (rows > 5) x.x5 = load_group(a[5] + at);
    if (rows > 6) x.x6 = load_group(a[6] + at);
    if (rows > 7) x.x7 = load_group(a[7] + at);
    return x;
}

// Four groups. What the first products need is loaded first, and takes all 32 registers.
INLINE block add_four(block b, const int8_t *const *a, size_t at, const int8_t *w, const uint32_t rows) {
    weights w0, w1, w2, w3;
    load_pair_s8(w, 0, &w0.low, &w0.high);
    const lines x = load_lines(a, at, rows);
    load_pair_s8(w, 64, &w1.low, &w1.high);
    load_pair_s8(w, 128, &w2.low, &w2.high);
    load_pair_s8(w, 192, &w3.low, &w3.high);
    b = add_lane(b, x, w0, rows, 0);
    b = add_lane(b, x, w1, rows, 1);
    b = add_lane(b, x, w2, rows, 2);
    return add_lane(b, x, w3, rows, 3);
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *x, const uint32_t rows, sums *s) {
    const sums zero = {vdupq_n_s32(0), vdupq_n_s32(0)};
    block b = {zero, zero, zero, zero, zero, zero, zero, zero};
    const int8_t *a[TILE], *w = c->w;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++) a[i] = x + i * g->packed_stride;
    const size_t end = c->groups / 4 * 16;
    size_t at = 0;
    for (; at < end; at += 16, w += 256) b = add_four(b, a, at, w, rows);
    for (; at < c->groups * 4; at += 4, w += 64) {
        b = add_lane(b, load_groups(a, at, rows), (weights){vld1q_s8(w), vld1q_s8(w + 16)}, rows, 0);
    }
    const sums all[] = {b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7};
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++) s[i] = all[i];
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    switch (rows) {
        case 1: tile_of(g, c, a, 1, s); break;
        case 2: tile_of(g, c, a, 2, s); break;
        case 3: tile_of(g, c, a, 3, s); break;
        case 4: tile_of(g, c, a, 4, s); break;
        case 5: tile_of(g, c, a, 5, s); break;
        case 6: tile_of(g, c, a, 6, s); break;
        case 7: tile_of(g, c, a, 7, s); break;
        default: tile_of(g, c, a, TILE, s); break;
    }
}

static void run(const tody_gemm_s8 *args) { run_block(args); }

const tody_kernels tody_kernels_neon_dot = {
    .name = "neon_dot",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_DOT,
    .gemm_s8_rows = TILE,
    .gemm_s8_panels = 1,
    .gemm_s8_bytes = 1,
    .gemm_s8 = run,
    .pack_s8 = tody_pack_s8_neon,
    .sparse_s8_rows = 32,
    .sparse_s8_shift = 0,
    .words_s8 = tody_words_s8_neon_dot,
    .sparse_s8 = tody_sparse_s8_neon_dot,
};

#endif
