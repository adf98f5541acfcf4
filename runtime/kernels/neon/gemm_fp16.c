// gemm_fp16.c - float32 products in the float16 arithmetic of ARMv8.2: 8 rows by 16 columns in registers, rounded operands.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#if defined(__aarch64__)

// Constants after inlining are marked const. Structs of variables and not arrays, which gcc 12 would keep in memory. Loads and
// products stay in the order in which they are written, as in schedule.h; a lane must be one of the lower sixteen registers.
#define INLINE static inline __attribute__((always_inline))

enum { ROWS = GEMM_ROWS, COLUMNS = 16, FOURS = TODY_F16_FOURS, LONE_FOURS = 4 * TODY_F16_FOURS };

_Static_assert(ROWS == 8, "sums of as many rows as gemm_f32 takes fill sixteen registers");

// 16 columns of one row, or of one step of weights.
typedef struct sum {
    float16x8_t low, high;
} sum;

typedef struct block {
    sum s0, s1, s2, s3, s4, s5, s6, s7;
} block;

// The same in float32.
typedef struct wide {
    float32x4_t v0, v1, v2, v3;
} wide;

// Two vectors at p + `at` bytes.
INLINE sum load_pair(const uint16_t *p, const int at) {
    sum s;
    __asm__ volatile("ldp %q0, %q1, [%2, %c3]" : "=w"(s.low), "=w"(s.high) : "r"(p), "i"(at) : "memory");
    return s;
}

// The same or the first of them, in registers that may be lanes.
INLINE sum load_lanes(const uint16_t *p, const int at, const bool both) {
    sum s;
    if (both) {
        __asm__ volatile("ldp %q0, %q1, [%2, %c3]" : "=x"(s.low), "=x"(s.high) : "r"(p), "i"(at) : "memory");
        return s;
    }
    __asm__ volatile("ldr %q0, [%1, %c2]" : "=x"(s.low) : "r"(p), "i"(at) : "memory");
    return (sum){s.low, s.low};
}

INLINE float16x8_t add_lane(float16x8_t s, float16x8_t w, float16x8_t x, const int lane) {
    __asm__ volatile("fmla %0.8h, %1.8h, %2.h[%c3]" : "+w"(s) : "w"(w), "x"(x), "i"(lane));
    return s;
}

INLINE sum add_row(sum s, sum w, float16x8_t x, const int lane) {
    return (sum){add_lane(s.low, w.low, x, lane), add_lane(s.high, w.high, x, lane)};
}

// Fours of two rows stand in a vector.
typedef struct lanes {
    sum rows0123, rows4567;
} lanes;

// Those of four `index`. Offsets are multiples of 16 where rows are even; else the pointer moves.
INLINE lanes load_fours(const uint16_t *a, const uint32_t count, const int index) {
    const int bytes = index * (int)count * 8, at = bytes % 16 ? 0 : bytes;
    const uint16_t *from = a + (bytes - at) / 2;
    const sum first = load_lanes(from, at, count > 2);
    return (lanes){first, count > 4 ? load_lanes(from, at + 32, count > 6) : first};
}

INLINE block add_step(block b, lanes x, sum w, const uint32_t count, const int lane) {
    b.s0 = add_row(b.s0, w, x.rows0123.low, lane);
    if (count > 1) b.s1 = add_row(b.s1, w, x.rows0123.low, lane + 4);
    if (count > 2) b.s2 = add_row(b.s2, w, x.rows0123.high, lane);
    if (count > 3) b.s3 = add_row(b.s3, w, x.rows0123.high, lane + 4);
    if (count > 4) b.s4 = add_row(b.s4, w, x.rows4567.low, lane);
    if (count > 5) b.s5 = add_row(b.s5, w, x.rows4567.low, lane + 4);
    if (count > 6) b.s6 = add_row(b.s6, w, x.rows4567.high, lane);
    if (count > 7) b.s7 = add_row(b.s7, w, x.rows4567.high, lane + 4);
    return b;
}

// The four that comes `index` fours behind a and w.
INLINE block add_four(block b, const uint16_t *a, const uint16_t *w, const uint32_t count, const int index) {
    const lanes x = load_fours(a, count, index);
    const int at = index * 128;
    const sum w0 = load_pair(w, at), w1 = load_pair(w, at + 32), w2 = load_pair(w, at + 64), w3 = load_pair(w, at + 96);
    b = add_step(b, x, w0, count, 0);
    b = add_step(b, x, w1, count, 1);
    b = add_step(b, x, w2, count, 2);
    return add_step(b, x, w3, count, 3);
}

// What is left of a tap: one to three steps.
INLINE block add_rest(block b, const uint16_t *a, const uint16_t *w, const uint32_t steps, const uint32_t count) {
    const lanes x = load_fours(a, count, 0);
    b = add_step(b, x, load_pair(w, 0), count, 0);
    if (steps > 1) b = add_step(b, x, load_pair(w, 32), count, 1);
    if (steps > 2) b = add_step(b, x, load_pair(w, 64), count, 2);
    return b;
}

// Where a product is in its operands: what is left of a tap, in steps, and of all, in taps.
typedef struct walk {
    const uint16_t *a, *w;
    size_t left;
    uint32_t taps;
} walk;

// The next sum in float16, of 16 fours or all that are left.
INLINE block sum_fours(walk *at, const size_t depth, const uint32_t count) {
    const float16x8_t none = vreinterpretq_f16_u16(vdupq_n_u16(0));
    const sum zero = {none, none};
    block b = {zero, zero, zero, zero, zero, zero, zero, zero};
    for (size_t room = FOURS; room > 0 && at->taps > 0;) {
        const size_t whole = at->left / 4 < room ? at->left / 4 : room;
        for (size_t i = whole / 4; i > 0; i--, at->a += count * 16, at->w += 256) {
            b = add_four(add_four(b, at->a, at->w, count, 0), at->a, at->w, count, 1);
            b = add_four(add_four(b, at->a, at->w, count, 2), at->a, at->w, count, 3);
        }
        for (size_t i = whole % 4; i > 0; i--, at->a += count * 4, at->w += 64) b = add_four(b, at->a, at->w, count, 0);
        room -= whole;
        at->left -= whole * 4;
        if (at->left >= 4 || (at->left > 0 && room == 0)) break;
        if (at->left > 0) {
            b = add_rest(b, at->a, at->w, (uint32_t)at->left, count);
            at->a += count * 4;
            at->w += at->left * 16;
            room--;
        }
        at->left = depth;
        at->taps--;
    }
    return b;
}

INLINE wide load_wide(const float *p) {
    wide v;
    load_pair_f32(p, 0, &v.v0, &v.v1);
    load_pair_f32(p, 32, &v.v2, &v.v3);
    return v;
}

INLINE void store_wide(float *p, wide v) {
    store_pair_f32(p, 0, v.v0, v.v1);
    store_pair_f32(p, 32, v.v2, v.v3);
}

INLINE wide add_wide(wide x, wide y) {
    return (wide){vaddq_f32(x.v0, y.v0), vaddq_f32(x.v1, y.v1), vaddq_f32(x.v2, y.v2), vaddq_f32(x.v3, y.v3)};
}

// total + s * scale
INLINE wide add_sum(wide total, sum s, const wide *scale) {
    return (wide){vfmaq_f32(total.v0, vcvt_f32_f16(vget_low_f16(s.low)), scale->v0),
                  vfmaq_f32(total.v1, vcvt_high_f32_f16(s.low), scale->v1),
                  vfmaq_f32(total.v2, vcvt_f32_f16(vget_low_f16(s.high)), scale->v2),
                  vfmaq_f32(total.v3, vcvt_high_f32_f16(s.high), scale->v3)};
}

// What the sums of a tile are added to: the bias, or what is there already.
typedef struct start {
    const float *rows;
    size_t stride;
} start;

INLINE wide row_of(const start *from, sum s, const wide *scale, const size_t row) {
    return add_sum(load_wide(from->rows + row * from->stride), s, scale);
}

INLINE wide clamp_wide(wide v, float32x4_t lo, float32x4_t hi) {
    return (wide){clamp(v.v0, lo, hi), clamp(v.v1, lo, hi), clamp(v.v2, lo, hi), clamp(v.v3, lo, hi)};
}

// The last sums of a row of all columns.
INLINE void end_row(const tody_gemm_f32 *g, wide v, const bool bounded, const size_t row) {
    if (g->addend) v = add_wide(v, load_wide(g->addend + row * g->addend_stride));
    if (bounded) v = clamp_wide(v, vdupq_n_f32(g->lo), vdupq_n_f32(g->hi));
    store_wide(g->c + row * g->c_stride, v);
}

// Sums to `rows`, of which there are `count`, 16 columns each.
INLINE void settle(float *rows, const start *from, block b, const float *scales, const uint32_t count) {
    const wide scale = load_wide(scales);
    store_wide(rows, row_of(from, b.s0, &scale, 0));
    if (count > 1) store_wide(rows + 1 * COLUMNS, row_of(from, b.s1, &scale, 1));
    if (count > 2) store_wide(rows + 2 * COLUMNS, row_of(from, b.s2, &scale, 2));
    if (count > 3) store_wide(rows + 3 * COLUMNS, row_of(from, b.s3, &scale, 3));
    if (count > 4) store_wide(rows + 4 * COLUMNS, row_of(from, b.s4, &scale, 4));
    if (count > 5) store_wide(rows + 5 * COLUMNS, row_of(from, b.s5, &scale, 5));
    if (count > 6) store_wide(rows + 6 * COLUMNS, row_of(from, b.s6, &scale, 6));
    if (count > 7) store_wide(rows + 7 * COLUMNS, row_of(from, b.s7, &scale, 7));
}

// The last sums, to where they belong.
INLINE void end(const tody_gemm_f32 *g, const start *from, block b, const bool bounded, const uint32_t count) {
    const wide scale = load_wide(g->scale);
    end_row(g, row_of(from, b.s0, &scale, 0), bounded, 0);
    if (count > 1) end_row(g, row_of(from, b.s1, &scale, 1), bounded, 1);
    if (count > 2) end_row(g, row_of(from, b.s2, &scale, 2), bounded, 2);
    if (count > 3) end_row(g, row_of(from, b.s3, &scale, 3), bounded, 3);
    if (count > 4) end_row(g, row_of(from, b.s4, &scale, 4), bounded, 4);
    if (count > 5) end_row(g, row_of(from, b.s5, &scale, 5), bounded, 5);
    if (count > 6) end_row(g, row_of(from, b.s6, &scale, 6), bounded, 6);
    if (count > 7) end_row(g, row_of(from, b.s7, &scale, 7), bounded, 7);
}

// Fewer than 16 columns: from rows of 16 to where they belong.
static void finish_part(const tody_gemm_f32 *g, const float *rows) {
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    for (uint32_t i = 0; i < g->rows; i++) {
        const float *addend = g->addend ? g->addend + i * g->addend_stride : NULL;
        for (uint32_t j = 0; j < g->cols; j += 4) {
            finish(g->c + i * g->c_stride + j, g->cols - j, vld1q_f32(rows + i * COLUMNS + j), addend ? addend + j : NULL, lo,
                   hi);
        }
    }
}

static const float zeros[COLUMNS];

// `count` rows by 16 columns. All sums but the last go to a place of their own.
INLINE void tile(const tody_gemm_f32 *args, const uint32_t count) {
    const tody_gemm_f32 g = *args;  // whose fields stay in registers, whatever is stored
    const bool whole = g.cols == COLUMNS, bounded = g.lo > -__builtin_inff() || g.hi < __builtin_inff();
    float rows[ROWS * COLUMNS];
    start from = {g.bias ? g.bias : zeros, 0};
    walk at = {g.packed_f16, g.w_f16, g.depth, g.taps};
    for (;;) {
        const block b = sum_fours(&at, g.depth, count);
        if (at.taps == 0 && whole) {
            if (bounded)
                end(&g, &from, b, true, count);
            else
                end(&g, &from, b, false, count);
            return;
        }
        settle(rows, &from, b, g.scale, count);
        if (at.taps == 0) break;
        from = (start){rows, COLUMNS};
    }
    finish_part(args, rows);
}

// Four sums of a lone row.
typedef struct quad {
    sum s0, s1, s2, s3;
} quad;

INLINE quad add_lone(quad q, float16x4_t x, const uint16_t *w, const uint32_t steps) {
    const float16x8_t lanes = vcombine_f16(x, x);
    q.s0 = add_row(q.s0, load_pair(w, 0), lanes, 0);
    if (steps > 1) q.s1 = add_row(q.s1, load_pair(w, 32), lanes, 1);
    if (steps > 2) q.s2 = add_row(q.s2, load_pair(w, 64), lanes, 2);
    if (steps > 3) q.s3 = add_row(q.s3, load_pair(w, 96), lanes, 3);
    return q;
}

INLINE wide settle_lone(wide total, quad q, const wide *scale) {
    return add_sum(add_sum(add_sum(add_sum(total, q.s0, scale), q.s1, scale), q.s2, scale), q.s3, scale);
}

static void lone_row(const tody_gemm_f32 *g) {
    const float16x8_t none = vreinterpretq_f16_u16(vdupq_n_u16(0));
    const sum zero = {none, none};
    const quad start = {zero, zero, zero, zero};
    const wide scale = load_wide(g->scale);
    const uint16_t *w = g->w_f16;
    wide total = load_wide(g->bias ? g->bias : zeros);
    quad q = start;
    uint32_t room = LONE_FOURS;
    for (uint32_t t = 0; t < g->taps; t++) {
        for (size_t k = 0; k < g->depth; k += 4) {
            const size_t steps = g->depth - k;
            if (steps >= 4)
                q = add_lone(q, vcvt_f16_f32(vld1q_f32(g->a[t] + k)), w, 4);
            else
                q = add_lone(q, vcvt_f16_f32(load_some(g->a[t] + k, steps)), w, (uint32_t)steps);
            w += steps < 4 ? steps * 16 : 64;
            if (--room > 0) continue;
            total = settle_lone(total, q, &scale);
            q = start;
            room = LONE_FOURS;
        }
    }
    float row[COLUMNS];
    store_wide(row, settle_lone(total, q, &scale));
    finish_part(g, row);
}

static void gemm(const tody_gemm_f32 *g) {
    switch (g->rows) {
        case 1: lone_row(g); break;
        case 2: tile(g, 2); break;
        case 3: tile(g, 3); break;
        case 4: tile(g, 4); break;
        case 5: tile(g, 5); break;
        case 6: tile(g, 6); break;
        case 7: tile(g, 7); break;
        default: tile(g, 8); break;
    }
}

static const tody_kernels_f16 kernels = {.gemm = gemm, .pack = tody_pack_f16_neon, .round = tody_round_f16_neon};

const tody_kernels tody_kernels_neon_fp16 = {
    .name = "neon_fp16",
    .needs = TODY_CPU_NEON | TODY_CPU_NEON_FP16,
    .f16 = &kernels,
};

#endif
