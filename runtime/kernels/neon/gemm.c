// gemm.c - matrix product on panels of 16 columns, half a panel at a time: 8 rows (ARMv7: 4) by 8 columns in registers. On
// AArch64 up to 4 rows meet whole panels.
// SPDX-License-Identifier: Apache-2.0
#include "gemm_steps.h"
#include "neon.h"

INLINE const float *weights_of(const tody_gemm_f32 *g, uint32_t column) {
    return g->w + column / 16 * g->w_stride + column % 16;
}

static const float *bias_of(const tody_gemm_f32 *g, uint32_t column) {
    static const float zeros[16];
    return g->bias ? g->bias + column : zeros;
}

// What the tiles of a call have in common, kept in registers: behind a store a compiler reads all of its arguments again.
typedef struct common {
    size_t fours, rest, step, addend_stride, c_stride;
    uint32_t taps, bounds;
    const float *lo, *hi;
} common;

// `count` rows by 8 columns, or by 16 if it is wide, whose weights, bias, addend and results begin at w, bias, addend and c.
INLINE void tile(const common *g, const uint32_t count, const bool wide, const float *a, const float *w, const float *bias,
                 const float *addend, float *c) {
    const uint32_t sums = wide ? 2 * count : count;
    block b = wide ? start_wide(bias, count) : start(bias, count);
    uint32_t taps = g->taps;
    do {
        for (size_t k = g->fours / 4; k > 0; k--) {
#pragma GCC unroll 4
            for (uint32_t i = 0; i < 4; i++)
                b = wide ? add_four_wide(b, &a, g->step, &w, count) : add_four(b, &a, g->step, &w, count);
        }
        for (size_t k = g->fours % 4; k > 0; k--)
            b = wide ? add_four_wide(b, &a, g->step, &w, count) : add_four(b, &a, g->step, &w, count);
        if (g->rest == 0) continue;
        for (size_t k = 0; k < g->rest; k++, w += 16) b = wide ? add_one_wide(b, a + k, w, count) : add_one(b, a + k, w, count);
        a += g->step;
    } while (--taps > 0);
    if (addend) b = wide ? add_addend_wide(b, addend, g->addend_stride, count) : add_addend(b, addend, g->addend_stride, count);
    if (g->bounds & RAISED) b = bound_block(b, vld1q_dup_f32(g->lo), RAISED, sums);
    if (g->bounds & LOWERED) b = bound_block(b, vld1q_dup_f32(g->hi), LOWERED, sums);
    wide ? store_wide(c, g->c_stride, b, count) : store_block(c, g->c_stride, b, count);
}

// Whole eights of columns.
INLINE void tiles(const tody_gemm_f32 *args, const uint32_t count) {
    const size_t fours = args->depth / 4, rest = args->depth % 4, step = (size_t)args->packed_rows * 4;
    const common g = {fours,     rest,     step, args->addend_stride, args->c_stride, args->taps, bounds_of(args->lo, args->hi),
                      &args->lo, &args->hi};
    const float *a = args->packed, *addend = args->addend;
    float *c = args->c;
    const size_t to_next = args->w_stride - 8, a_step = args->a_step;
    const uint32_t cols = args->cols, bias_step = args->bias ? 8 : 0;
    for (uint32_t more = args->more;; more--) {
        const float *w = args->w, *bias = bias_of(args, 0);
        uint32_t column = 0;
        for (; count <= WIDE_ROWS && cols - column >= 16; column += 16, bias += 2 * bias_step, w += to_next + 8)
            tile(&g, count, true, a, w, bias, addend ? addend + column : NULL, c + column);
        for (; column < cols; column += 8, bias += bias_step) {
            tile(&g, count, false, a, w, bias, addend ? addend + column : NULL, c + column);
            w += column % 16 ? to_next : 8;
        }
        if (more == 0) return;
        a += a_step;
        c += count * g.c_stride;
        if (addend) addend += count * g.addend_stride;
    }
}

// Columns from `column` on, fewer than 8 or of one row, of rows of `made`.
static void finish_rows(const tody_gemm_f32 *g, uint32_t column, const float *made, const float *addend, float *c) {
    const float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    const size_t cols = g->cols - column;
    for (uint32_t i = 0; i < g->rows; i++, made += 8, c += g->c_stride) {
        finish(c + column, cols, vld1q_f32(made), addend ? addend + column : NULL, lo, hi);
        if (cols > 4) finish(c + column + 4, cols - 4, vld1q_f32(made + 4), addend ? addend + column + 4 : NULL, lo, hi);
        if (addend) addend += g->addend_stride;
    }
}

// One row: its depth is dealt out to four sums, because one can only be added to every fourth cycle.
static void lone_part(const tody_gemm_f32 *g, uint32_t column) {
    const sum zero = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    sum s0 = load_sum(bias_of(g, column)), s1 = zero, s2 = zero, s3 = zero;
    const float *w = weights_of(g, column);
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a = g->a[t];
        size_t k = 0;
        for (; k + 4 <= g->depth; k += 4, w += 64) {
            const float32x4_t x = vld1q_f32(a + k);
            s0 = add(s0, x[0], vld1q_f32(w), vld1q_f32(w + 4));
            s1 = add(s1, x[1], vld1q_f32(w + 16), vld1q_f32(w + 20));
            s2 = add(s2, x[2], vld1q_f32(w + 32), vld1q_f32(w + 36));
            s3 = add(s3, x[3], vld1q_f32(w + 48), vld1q_f32(w + 52));
        }
        for (; k < g->depth; k++, w += 16) s0 = add(s0, a[k], vld1q_f32(w), vld1q_f32(w + 4));
    }
    float made[8];
    vst1q_f32(made, vaddq_f32(vaddq_f32(vaddq_f32(s0.low, s1.low), s2.low), s3.low));
    vst1q_f32(made + 4, vaddq_f32(vaddq_f32(vaddq_f32(s0.high, s1.high), s2.high), s3.high));
    finish_rows(g, column, made, g->addend, g->c);
}

static void lone_row(const tody_gemm_f32 *g) {
    for (uint32_t column = 0; column < g->cols; column += 8) lone_part(g, column);
}

static void few_rows(const tody_gemm_f32 *g) {
    switch (g->rows) {
        case 2: tiles(g, 2); break;
        case 3: tiles(g, 3); break;
        default: tiles(g, 4); break;
    }
}

static void many_rows(const tody_gemm_f32 *g) {
    switch (g->rows) {
        case 5: tiles(g, 5); break;
        case 6: tiles(g, 6); break;
        case 7: tiles(g, 7); break;
        default: tiles(g, 8); break;
    }
}

static void some_rows(const tody_gemm_f32 *g) {
    if (GEMM_ROWS > 4 && g->rows > 4)
        many_rows(g);
    else
        few_rows(g);
}

// The last columns, fewer than 8: as many are made beside the result, to which go those that there are.
static void last_columns(const tody_gemm_f32 *g, uint32_t column) {
    float made[GEMM_ROWS * 8];
    tody_gemm_f32 eight = *g;
    eight.cols = 8;
    eight.c_stride = 8;
    eight.more = 0;
    eight.w = weights_of(g, column);
    eight.bias = g->bias ? g->bias + column : NULL;
    eight.addend = NULL;
    eight.c = made;
    eight.lo = -__builtin_inff();
    eight.hi = __builtin_inff();
    const float *addend = g->addend;
    float *c = g->c;
    for (uint32_t more = g->more;; more--) {
        some_rows(&eight);
        finish_rows(g, column, made, addend, c);
        if (more == 0) return;
        eight.packed += g->a_step;
        c += g->rows * g->c_stride;
        if (addend) addend += g->rows * g->addend_stride;
    }
}

void tody_gemm_f32_neon(const tody_gemm_f32 *args) {
    if (args->rows == 1) {
        lone_row(args);
        return;
    }
    const uint32_t cols = args->cols / 8 * 8;
    if (cols == args->cols) {
        some_rows(args);
        return;
    }
    tody_gemm_f32 whole = *args;  // 18 instructions, which most calls do without
    whole.cols = cols;
    if (cols > 0) some_rows(&whole);
    last_columns(args, cols);
}
