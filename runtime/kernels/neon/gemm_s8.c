// gemm_s8.c - int8 matrix product on panels of 16 columns, half a panel at a time: 4 rows (ARMv7: 2) by 8 columns.
// SPDX-License-Identifier: Apache-2.0
//
// Exact: |x| is at most 128, so products fit int16 together whose weights add up to 255 at most. Two do if no weight is -128,
// four where a look at the weights tells so. Neighbours are then added into int32 (sadalp).
#include "neon_s8.h"

enum { TILE = GEMM_S8_ROWS, HALVES = 1, UNIT = 1 };

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

INLINE weights load_weights(const int8_t *w) { return (weights){vld1q_s8(w), vld1q_s8(w + 16)}; }

#if defined(__aarch64__)

enum { TOGETHER = 4 };

// So many groups of depth.
typedef struct block {
    weights w0, w1, w2, w3;
} block;

INLINE block load_block(const int8_t *w) {
    return (block){load_weights(w), load_weights(w + 64), load_weights(w + 128), load_weights(w + 192)};
}

INLINE uint8_t largest(uint8x16_t x) { return vmaxvq_u8(x); }
INLINE int16x8_t multiply_low(int8x16_t a, int8x16_t b) { return vmull_s8(vget_low_s8(a), vget_low_s8(b)); }
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_high_s8(a, b); }

// A block of a row, which moves on, in registers that compilers would not find: 16 sums and 8 weights take the
// other 24. `gentle`: all four products fit int16 together.
INLINE halves add_row(halves s, const int8_t **row, const block *w, const bool gentle) {
    if (gentle) {
        __asm__(
            "ld4r {v16.4s, v17.4s, v18.4s, v19.4s}, [%4], #16\n\t"
            "smull v20.8h, %5.8b, v16.8b\n\tsmull2 v21.8h, %5.16b, v16.16b\n\t"
            "smull v22.8h, %6.8b, v16.8b\n\tsmull2 v23.8h, %6.16b, v16.16b\n\t"
            "smlal v20.8h, %7.8b, v17.8b\n\tsmlal2 v21.8h, %7.16b, v17.16b\n\t"
            "smlal v22.8h, %8.8b, v17.8b\n\tsmlal2 v23.8h, %8.16b, v17.16b\n\t"
            "smlal v20.8h, %9.8b, v18.8b\n\tsmlal2 v21.8h, %9.16b, v18.16b\n\t"
            "smlal v22.8h, %10.8b, v18.8b\n\tsmlal2 v23.8h, %10.16b, v18.16b\n\t"
            "smlal v20.8h, %11.8b, v19.8b\n\tsmlal2 v21.8h, %11.16b, v19.16b\n\t"
            "smlal v22.8h, %12.8b, v19.8b\n\tsmlal2 v23.8h, %12.16b, v19.16b\n\t"
            "sadalp %0.4s, v20.8h\n\tsadalp %1.4s, v21.8h\n\tsadalp %2.4s, v22.8h\n\tsadalp %3.4s, v23.8h"
            : "+w"(s.v0), "+w"(s.v1), "+w"(s.v2), "+w"(s.v3), "+r"(*row)
            : "w"(w->w0.low), "w"(w->w0.high), "w"(w->w1.low), "w"(w->w1.high), "w"(w->w2.low), "w"(w->w2.high), "w"(w->w3.low),
              "w"(w->w3.high)
            : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "memory");
        return s;
    }
    __asm__(
        "ld4r {v16.4s, v17.4s, v18.4s, v19.4s}, [%4], #16\n\t"
        "smull v20.8h, %5.8b, v16.8b\n\tsmull2 v21.8h, %5.16b, v16.16b\n\t"
        "smull v22.8h, %6.8b, v16.8b\n\tsmull2 v23.8h, %6.16b, v16.16b\n\t"
        "smlal v20.8h, %7.8b, v17.8b\n\tsmlal2 v21.8h, %7.16b, v17.16b\n\t"
        "smlal v22.8h, %8.8b, v17.8b\n\tsmlal2 v23.8h, %8.16b, v17.16b\n\t"
        "sadalp %0.4s, v20.8h\n\tsadalp %1.4s, v21.8h\n\tsadalp %2.4s, v22.8h\n\tsadalp %3.4s, v23.8h\n\t"
        "smull v20.8h, %9.8b, v18.8b\n\tsmull2 v21.8h, %9.16b, v18.16b\n\t"
        "smull v22.8h, %10.8b, v18.8b\n\tsmull2 v23.8h, %10.16b, v18.16b\n\t"
        "smlal v20.8h, %11.8b, v19.8b\n\tsmlal2 v21.8h, %11.16b, v19.16b\n\t"
        "smlal v22.8h, %12.8b, v19.8b\n\tsmlal2 v23.8h, %12.16b, v19.16b\n\t"
        "sadalp %0.4s, v20.8h\n\tsadalp %1.4s, v21.8h\n\tsadalp %2.4s, v22.8h\n\tsadalp %3.4s, v23.8h"
        : "+w"(s.v0), "+w"(s.v1), "+w"(s.v2), "+w"(s.v3), "+r"(*row)
        : "w"(w->w0.low), "w"(w->w0.high), "w"(w->w1.low), "w"(w->w1.high), "w"(w->w2.low), "w"(w->w2.high), "w"(w->w3.low),
          "w"(w->w3.high)
        : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "memory");
    return s;
}

#else

INLINE uint8_t largest(uint8x16_t x) {
    uint8x8_t most = vmax_u8(vget_low_u8(x), vget_high_u8(x));
    for (uint32_t i = 0; i < 3; i++) most = vpmax_u8(most, most);
    return vget_lane_u8(most, 0);
}

INLINE int16x8_t multiply_low(int8x16_t a, int8x16_t b) { return vmull_s8(vget_low_s8(a), vget_low_s8(b)); }
INLINE int16x8_t multiply_high(int8x16_t a, int8x16_t b) { return vmull_s8(vget_high_s8(a), vget_high_s8(b)); }
INLINE int16x8_t add_low(int16x8_t s, int8x16_t a, int8x16_t b) { return vmlal_s8(s, vget_low_s8(a), vget_low_s8(b)); }
INLINE int16x8_t add_high(int16x8_t s, int8x16_t a, int8x16_t b) { return vmlal_s8(s, vget_high_s8(a), vget_high_s8(b)); }

// 16 registers hold no more.
enum { TOGETHER = 2 };

typedef struct block {
    weights w0, w1;
} block;

INLINE block load_block(const int8_t *w) { return (block){load_weights(w), load_weights(w + 64)}; }

INLINE halves add_row(halves s, const int8_t **row, const block *b, const bool gentle) {
    (void)gentle;
    const int8x16_t x = load_group_s8(row), y = load_group_s8(row);
    s.v0 = vpadalq_s16(s.v0, add_low(multiply_low(b->w0.low, x), b->w1.low, y));
    s.v1 = vpadalq_s16(s.v1, add_high(multiply_high(b->w0.low, x), b->w1.low, y));
    s.v2 = vpadalq_s16(s.v2, add_low(multiply_low(b->w0.high, x), b->w1.high, y));
    s.v3 = vpadalq_s16(s.v3, add_high(multiply_high(b->w0.high, x), b->w1.high, y));
    return s;
}

#endif

INLINE uint8x16_t size(int8x16_t w) { return vreinterpretq_u8_s8(vabsq_s8(w)); }

// Half a block of weights, as far as it has been looked at: sums, sizes added up in each lane (at most 255), and the largest.
typedef struct seen {
    sums all;
    uint8x16_t low, high, most;
} seen;

INLINE seen look_at(seen s, weights w) {
    const uint8x16_t low = size(w.low), high = size(w.high);
    return (seen){{vpadalq_s16(s.all.low, vpaddlq_s8(w.low)), vpadalq_s16(s.all.high, vpaddlq_s8(w.high))},
                  vqaddq_u8(s.low, low),
                  vqaddq_u8(s.high, high),
                  vmaxq_u8(s.most, vmaxq_u8(low, high))};
}

static sums look(const tody_gemm_s8 *g, columns *c) {
    (void)g;
    const uint8x16_t none = vdupq_n_u8(0);
    const int8_t *w = c->w;
    const size_t blocks = c->groups / TOGETHER;
    uint8_t all = blocks <= KNOWN;
    seen s = {{vdupq_n_s32(0), vdupq_n_s32(0)}, none, none, none};
    for (size_t b = 0; b < blocks; b++) {
        s.low = s.high = none;
        for (uint32_t i = 0; i < TOGETHER; i++, w += 64) s = look_at(s, load_weights(w));
        const uint8_t gentle = largest(vmaxq_u8(s.low, s.high)) < 255;
        if (b < KNOWN) c->gentle[b] = gentle;
        all &= gentle;
    }
    for (size_t i = blocks * TOGETHER; i < c->groups; i++, w += 64) s = look_at(s, load_weights(w));
    c->narrow = largest(s.most) < 128;
    c->all_gentle = all;
    return s.all;
}

// One group of depth.
INLINE halves add_one(halves s, int8x16_t x, weights w) {
    s.v0 = vpadalq_s16(s.v0, multiply_low(w.low, x));
    s.v1 = vpadalq_s16(s.v1, multiply_high(w.low, x));
    s.v2 = vpadalq_s16(s.v2, multiply_low(w.high, x));
    s.v3 = vpadalq_s16(s.v3, multiply_high(w.high, x));
    return s;
}

INLINE int32x4_t join(int32x4_t a, int32x4_t b) {
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
}

INLINE int32x4_t spread(int32x2_t s) { return vreinterpretq_s32_u64(vmovl_u32(vreinterpret_u32_s32(s))); }

// Up to four rows.
typedef struct lines {
    halves s0, s1, s2, s3;
} lines;

INLINE lines add_block(lines s, const int8_t **a, const int8_t *w, const uint32_t rows, bool gentle) {
    const block b = load_block(w);
    if (gentle) {
        s.s0 = add_row(s.s0, &a[0], &b, true);
        if (rows > 1) s.s1 = add_row(s.s1, &a[1], &b, true);
        if (rows > 2) s.s2 = add_row(s.s2, &a[2], &b, true);
        if (rows > 3) s.s3 = add_row(s.s3, &a[3], &b, true);
    } else {
        s.s0 = add_row(s.s0, &a[0], &b, false);
        if (rows > 1) s.s1 = add_row(s.s1, &a[1], &b, false);
        if (rows > 2) s.s2 = add_row(s.s2, &a[2], &b, false);
        if (rows > 3) s.s3 = add_row(s.s3, &a[3], &b, false);
    }
    return s;
}

INLINE lines add_group(lines s, const int8_t **a, const int8_t *w, const uint32_t rows) {
    const weights b = load_weights(w);
    s.s0 = add_one(s.s0, load_group_s8(&a[0]), b);
    if (rows > 1) s.s1 = add_one(s.s1, load_group_s8(&a[1]), b);
    if (rows > 2) s.s2 = add_one(s.s2, load_group_s8(&a[2]), b);
    if (rows > 3) s.s3 = add_one(s.s3, load_group_s8(&a[3]), b);
    return s;
}

enum { BLOCK = TOGETHER * 64 };  // bytes from one block of weights to the next

// What a w_zero adds, to the sums of even pairs.
INLINE lines add_starts(lines s, const tody_gemm_s8 *g, const int8_t *a, const uint32_t rows) {
    int32_t starts[4] = {0};
    row_starts(g, a, rows, starts);
    halves *const all[] = {&s.s0, &s.s1, &s.s2, &s.s3};
#pragma GCC unroll 4
    for (uint32_t i = 0; i < rows; i++) {
        const int32x4_t start = spread(vdup_n_s32(starts[i]));
        all[i]->v0 = vaddq_s32(all[i]->v0, start);
        all[i]->v1 = vaddq_s32(all[i]->v1, start);
        all[i]->v2 = vaddq_s32(all[i]->v2, start);
        all[i]->v3 = vaddq_s32(all[i]->v3, start);
    }
    return s;
}

// What is known of the weights: nothing, that they are narrow, that all blocks are gentle.
typedef enum kind { WILD, MIXED, GENTLE } kind;

INLINE lines products(const tody_gemm_s8 *g, const columns *c, const int8_t *x, const uint32_t rows, const kind k) {
    const sums start = c->start;
    const halves first = {spread(vget_low_s32(start.low)), spread(vget_high_s32(start.low)), spread(vget_low_s32(start.high)),
                          spread(vget_high_s32(start.high))};
    lines s = {first, first, first, first};
    if (g->layer.w_zero) s = add_starts(s, g, x, rows);
    const int8_t *a[4] = {x, x + g->packed_stride, x + 2 * g->packed_stride, x + 3 * g->packed_stride};
    const int8_t *w = c->w, *end = w + c->groups * 64, *whole = w + c->groups / TOGETHER * BLOCK;
    const int8_t *known = c->groups / TOGETHER < KNOWN ? whole : w + KNOWN * BLOCK;
    for (; k == GENTLE && w < whole; w += BLOCK) s = add_block(s, a, w, rows, true);
    for (const uint8_t *gentle = c->gentle; k == MIXED && w < known; gentle++, w += BLOCK)
        s = add_block(s, a, w, rows, *gentle);
    for (; k == MIXED && w < whole; w += BLOCK) s = add_block(s, a, w, rows, false);
    for (; w < end; w += 64) s = add_group(s, a, w, rows);
    return s;
}

INLINE sums sums_of(halves h) { return (sums){join(h.v0, h.v1), join(h.v2, h.v3)}; }

INLINE void tiles_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, uint32_t count, places to,
                     const kind k) {
    const results r = results_of(g, c, 1);
    const bool plain = tody_is_plain(to.addend, &g->layer);
    for (; count > 0; count--, a += rows * g->packed_stride) {
        const lines s = products(g, c, a, rows, k);
        const uint32_t some = rows > 1 ? 2 : 1, rest = rows - some;
        if (plain) {
            finish_half(&to, sums_of(s.s0), sums_of(s.s1), some, &r, true);
            if (rest) finish_half(&to, sums_of(s.s2), sums_of(s.s3), rest, &r, true);
        } else {
            finish_half(&to, sums_of(s.s0), sums_of(s.s1), some, &r, false);
            if (rest) finish_half(&to, sums_of(s.s2), sums_of(s.s3), rest, &r, false);
        }
    }
}

INLINE void tiles_kind(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, uint32_t count, places to,
                       const kind k) {
    if (rows == 1)
        tiles_of(g, c, a, 1, count, to, k);
    else if (rows == 2)
        tiles_of(g, c, a, 2, count, to, k);
    else if (rows < TILE)  // three, where a tile has four
        tiles_of(g, c, a, 3, count, to, k);
    else
        tiles_of(g, c, a, TILE, count, to, k);
}

static void tiles(const tody_gemm_s8 *g, const columns *c, uint32_t halves, const int8_t *a, uint32_t rows, uint32_t count,
                  places to) {
    (void)halves;
    if (!c->narrow)
        tiles_kind(g, c, a, rows, count, to, WILD);
    else if (c->all_gentle && TOGETHER > 2)
        tiles_kind(g, c, a, rows, count, to, GENTLE);
    else
        tiles_kind(g, c, a, rows, count, to, MIXED);
}

void tody_gemm_s8_neon(const tody_gemm_s8 *args) { run_block(args); }
