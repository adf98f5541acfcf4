// winograd_s8.c - convolution of 3x3 in int8 by Winograd's way, with int16, 8 channels or columns at a time.
// SPDX-License-Identifier: Apache-2.0
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, in integers: core/kernels.h has the scales.
// A line of a tile grows by 10 at most in a transform, 255 by 100 in two: int16 holds it.
#include "neon_s8.h"

#if defined(__aarch64__)

#include "schedule.h"

enum { EDGE = 6, POSITIONS = 36, OUT = 4, ROWS = 8, HALF = 4, LANES = 8 };
enum { INVERSE_OF_9 = 0x38E38E39 };

// What a line of the image is at each point.
INLINE void points_of(const int16x8_t *d, int16x8_t *v) {
    const int16x8_t four = vdupq_n_s16(4);
    const int16x8_t near = vsubq_s16(d[4], d[2]), far = vsubq_s16(d[3], d[1]);
    const int16x8_t even = vmlsq_s16(d[4], d[2], four), odd = vmlsq_s16(d[3], d[1], four), twice = vaddq_s16(far, far);
    v[0] = vmlaq_s16(near, vsubq_s16(d[0], d[2]), four);
    v[1] = vaddq_s16(even, odd);
    v[2] = vsubq_s16(even, odd);
    v[3] = vaddq_s16(near, twice);
    v[4] = vsubq_s16(near, twice);
    v[5] = vmlsq_s16(vsubq_s16(d[5], d[3]), far, four);
}

// Channels [k, k + count), at most 8, of a tile: position p goes to v[p * stride], the channels that are not there as zeros.
INLINE void image_of(const int8_t *const *a, size_t k, const size_t count, int8x8_t zero, int16_t *v, size_t stride) {
    int16x8_t half[EDGE][EDGE];
    const int8x8_t none = vdup_n_s8(0);
    const uint8x8_t there = vcgt_u8(vdup_n_u8((uint8_t)count), vcreate_u8(0x0706050403020100));
#pragma GCC unroll 6
    for (uint32_t x = 0; x < EDGE; x++) {
        int16x8_t line[EDGE], points[EDGE];
#pragma GCC unroll 6
        for (uint32_t y = 0; y < EDGE; y++) {
            const int8x8_t d = load_part_s8(a[y * EDGE + x] + k, count);
            line[y] = count < LANES ? vsubl_s8(vbsl_s8(there, d, none), vbsl_s8(there, zero, none)) : vsubl_s8(d, zero);
        }
        points_of(line, points);
#pragma GCC unroll 6
        for (uint32_t y = 0; y < EDGE; y++) half[y][x] = points[y];
    }
#pragma GCC unroll 6
    for (uint32_t y = 0; y < EDGE; y++) {
        int16x8_t points[EDGE];
        points_of(half[y], points);
#pragma GCC unroll 6
        for (uint32_t x = 0; x < EDGE; x++, v += stride) vst1q_s16(v, points[x]);
    }
}

// v[(p * tiles + t) * depth + k]
static void transform_images(const tody_winograd_s8 *w, size_t depth, int16_t *v) {
    const int8x8_t zero = vdup_n_s8((int8_t)w->layer.x_zero);
    const size_t stride = w->tiles * depth, channels = w->channels;
    for (uint32_t t = 0; t < w->tiles; t++, v += depth) {
        const int8_t *const *a = w->a + t * POSITIONS;
        size_t k = 0;
        for (; k + LANES <= channels; k += LANES) image_of(a, k, LANES, zero, v + k, stride);
        if (k < channels) image_of(a, k, channels - k, zero, v + k, stride);
    }
}

// A value of depth: lane of x.
INLINE sums add_value(sums s, int16x8_t w, int16x8_t x, const int lane) {
    return (sums){add_low_lane_s16(s.low, w, x, lane), add_high_lane_s16(s.high, w, x, lane)};
}

// Up to 8 rows.
typedef struct block {
    sums s0, s1, s2, s3, s4, s5, s6, s7;
} block;

typedef struct rows {
    int16x8_t x0, x1, x2, x3, x4, x5, x6, x7;
} rows;

INLINE block add_lane(block b, int16x8_t w, rows r, const uint32_t some, const int lane) {
    b.s0 = add_value(b.s0, w, r.x0, lane);
    b.s1 = add_value(b.s1, w, r.x1, lane);
    b.s2 = add_value(b.s2, w, r.x2, lane);
    b.s3 = add_value(b.s3, w, r.x3, lane);
    if (some <= HALF) return b;
    b.s4 = add_value(b.s4, w, r.x4, lane);
    b.s5 = add_value(b.s5, w, r.x5, lane);
    b.s6 = add_value(b.s6, w, r.x6, lane);
    b.s7 = add_value(b.s7, w, r.x7, lane);
    return b;
}

// Where rows are that follow each other in memory; of fewer than there could be, the last one stands for those that lack.
typedef struct places {
    size_t d1, d2, d3, d4, d5, d6, d7;
} places;

INLINE size_t row_at(uint32_t row, uint32_t tiles, size_t stride) { return (row < tiles ? row : tiles - 1) * stride; }

INLINE places places_of(uint32_t n, size_t d) {
    return (places){row_at(1, n, d), row_at(2, n, d), row_at(3, n, d), row_at(4, n, d),
                    row_at(5, n, d), row_at(6, n, d), row_at(7, n, d)};
}

INLINE rows load_rows(const int16_t *x, const places *at, const uint32_t some) {
    rows r = {.x0 = vld1q_s16(x), .x1 = vld1q_s16(x + at->d1), .x2 = vld1q_s16(x + at->d2), .x3 = vld1q_s16(x + at->d3)};
    if (some <= HALF) return r;
    r.x4 = vld1q_s16(x + at->d4);
    r.x5 = vld1q_s16(x + at->d5);
    r.x6 = vld1q_s16(x + at->d6);
    r.x7 = vld1q_s16(x + at->d7);
    return r;
}

INLINE void store_sums(int32_t *m, sums s) {
    vst1q_s32(m, s.low);
    vst1q_s32(m + 4, s.high);
}

// Those that lack are stored first, so that the last one overwrites them.
INLINE void store_block(int32_t *m, const places *at, const uint32_t some, block b) {
    if (some > HALF) {
        store_sums(m + at->d7, b.s7);
        store_sums(m + at->d6, b.s6);
        store_sums(m + at->d5, b.s5);
        store_sums(m + at->d4, b.s4);
    }
    store_sums(m + at->d3, b.s3);
    store_sums(m + at->d2, b.s2);
    store_sums(m + at->d1, b.s1);
    store_sums(m, b.s0);
}

// What transformed tiles and weights are, and where their products go: of 8 columns.
typedef struct product {
    size_t depth;
    uint32_t tiles;
    const int16_t *v, *u;
    int32_t *m;
} product;

// `count` tiles from `first` on, at most `some`, which is 8 or 4, in all positions.
INLINE void multiply_some(const product *p, uint32_t first, uint32_t count, const uint32_t some) {
    const size_t depth = p->depth;
    const places at = places_of(count, depth), to = places_of(count, LANES);
    const int16_t *v = p->v + first * depth, *u = p->u;
    int32_t *m = p->m + first * LANES;
    const sums zero = {vdupq_n_s32(0), vdupq_n_s32(0)};
    for (uint32_t i = 0; i < POSITIONS; i++, v += p->tiles * depth, m += p->tiles * LANES) {
        block b = {zero, zero, zero, zero, zero, zero, zero, zero};
        for (const int16_t *x = v, *end = v + depth; x < end; x += LANES, u += LANES * LANES) {
            const rows r = load_rows(x, &at, some);
            b = add_lane(b, vld1q_s16(u), r, some, 0);
            b = add_lane(b, vld1q_s16(u + 8), r, some, 1);
            b = add_lane(b, vld1q_s16(u + 16), r, some, 2);
            b = add_lane(b, vld1q_s16(u + 24), r, some, 3);
            b = add_lane(b, vld1q_s16(u + 32), r, some, 4);
            b = add_lane(b, vld1q_s16(u + 40), r, some, 5);
            b = add_lane(b, vld1q_s16(u + 48), r, some, 6);
            b = add_lane(b, vld1q_s16(u + 56), r, some, 7);
        }
        store_block(m, &to, some, b);
    }
}

static void multiply(const product *p) {
    uint32_t t = 0;
    for (; t + ROWS <= p->tiles; t += ROWS) multiply_some(p, t, ROWS, ROWS);
    const uint32_t left = p->tiles - t;
    if (left > HALF)
        multiply_some(p, t, left, ROWS);
    else if (left > 0)
        multiply_some(p, t, left, HALF);
}

// The four results whose products m has.
INLINE void results_of(const int32x4_t *m, int32x4_t *y) {
    const int32x4_t sum = vaddq_s32(m[1], m[2]), difference = vsubq_s32(m[1], m[2]);
    const int32x4_t far_sum = vaddq_s32(m[3], m[4]), far_difference = vsubq_s32(m[3], m[4]);
    y[0] = vaddq_s32(vaddq_s32(m[0], sum), far_sum);
    y[1] = vaddq_s32(difference, vshlq_n_s32(far_difference, 1));
    y[2] = vaddq_s32(sum, vshlq_n_s32(far_sum, 2));
    y[3] = vaddq_s32(vaddq_s32(difference, vshlq_n_s32(far_difference, 3)), vshlq_n_s32(m[5], 2));
}

// Four columns of a tile, of which position p is at m[p * stride]: sums of the direct way, with their bias, 8 apart.
INLINE void sums_of(const int32_t *m, size_t stride, int32x4_t bias, int32_t *y) {
    int32x4_t half[OUT][EDGE];
    const int32x4_t inverse = vdupq_n_s32(INVERSE_OF_9);
#pragma GCC unroll 6
    for (uint32_t x = 0; x < EDGE; x++) {
        int32x4_t line[EDGE], part[OUT];
#pragma GCC unroll 6
        for (uint32_t i = 0; i < EDGE; i++) line[i] = vld1q_s32(m + (i * EDGE + x) * stride);
        results_of(line, part);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < OUT; i++) half[i][x] = part[i];
    }
#pragma GCC unroll 4
    for (uint32_t i = 0; i < OUT; i++) {
        int32x4_t part[OUT];
        results_of(half[i], part);
#pragma GCC unroll 4
        for (uint32_t x = 0; x < OUT; x++, y += LANES)
            vst1q_s32(y, vaddq_s32(vshrq_n_s32(vmulq_s32(part[x], inverse), 6), bias));
    }
}

// Columns [first, first + count), at most 8, of a tile.
static void finish_tile(const tody_winograd_s8 *w, const int32_t *m, uint32_t first, size_t count, const size_t *at) {
    const factors f = load_factors(w->scale + first / 16 * w->scale_stride + first % 16, w->layer.slopes);
    const ending e = ending_of(&w->layer);
    const int32x4_t none = vdupq_n_s32(0);
    int32_t y[OUT * OUT * LANES];
    sums_of(m, w->tiles * LANES, w->bias ? vld1q_s32(w->bias + first) : none, y);
    sums_of(m + 4, w->tiles * LANES, w->bias ? vld1q_s32(w->bias + first + 4) : none, y + 4);
    for (uint32_t i = 0; i < OUT * OUT; i++) {
        if (at[i] == TODY_NOWHERE) continue;
        const sums s = {vld1q_s32(y + i * LANES), vld1q_s32(y + i * LANES + 4)};
        int8x8_t x = vdup_n_s8(0);
        if (w->addend) x = load_part_s8(w->addend + at[i] + first, count);
        const int16x8_t scaled = scaled_s8(s, f, w->addend ? &x : NULL, &e);
        store_part_s8(w->c + at[i] + first, count, vget_low_s8(results_s8(scaled, scaled, &e)));
    }
}

void tody_winograd_s8_neon(const tody_winograd_s8 *args) {
    const tody_winograd_s8 w = *args;
    const size_t depth = ((size_t)w.channels + LANES - 1) / LANES * LANES;
    int16_t *v = w.work;
    int32_t *m = (int32_t *)(void *)(v + POSITIONS * w.tiles * depth);
    transform_images(&w, depth, v);
    product p = {depth, w.tiles, v, w.u, m};
    for (uint32_t first = 0; first < w.cols; first += LANES, p.u += POSITIONS * depth * LANES) {
        const size_t count = w.cols - first < LANES ? w.cols - first : LANES;
        multiply(&p);
        for (uint32_t t = 0; t < w.tiles; t++) finish_tile(&w, m + t * LANES, first, count, w.at + t * OUT * OUT);
    }
}

#endif
