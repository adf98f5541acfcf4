// gemm_s8.c - int8 rows times a panel by dual 16-bit products: two rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// The values of two rows are widened once for all columns, less the zero point, into a buffer of some words of depth. The
// columns then take them from there; sums wait in between.
#include "cortexm.h"
#include "kernels/sums_s8.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"

enum { ROWS = 2, PANELS = 2, WORDS = 32, TAPS = WORDS };  // words of depth, or taps of one value, in a buffer

// A word of depth of both rows: bytes 0 and 2, then 1 and 3, of each.
typedef struct wide {
    int16x2_t even[ROWS], odd[ROWS];
} wide;

// Of a panel.
typedef struct sums {
    int32_t of[ROWS][TODY_PANEL_F32];
} sums;

// Where in the rows the next word is.
typedef struct place {
    uint32_t tap, k;
} place;

// Four values of a row; x_zero stands for those behind the last.
static inline uint32_t four(const int8_t *a, uint32_t left, int32_t zero) {
    if (left >= 4) return tody_word(a);
    uint32_t word = (uint32_t)(uint8_t)zero * 0x01010101u;
    memcpy(&word, a, left);
    return word;
}

// Widen up to WORDS words; returns how many there were.
static uint32_t widen(const tody_gemm_s8 *g, uint32_t first, uint32_t rows, place *at, wide buffer[WORDS]) {
    const int16x2_t less = tody_both(-g->layer.x_zero);
    place p = *at;
    uint32_t count = 0;
    for (; count < WORDS && p.tap < g->taps; p.k = 0, p.tap++) {
        const int8_t *a0 = g->a[(size_t)p.tap * g->rows + first], *a1 = g->a[(size_t)p.tap * g->rows + first + rows - 1];
        for (; count < WORDS && p.k < g->depth; p.k += 4, count++) {
            const uint32_t x0 = four(a0 + p.k, g->depth - p.k, g->layer.x_zero);
            const uint32_t x1 = four(a1 + p.k, g->depth - p.k, g->layer.x_zero);
            buffer[count] =
                (wide){{tody_add_even(less, x0), tody_add_even(less, x1)}, {tody_add_odd(less, x0), tody_add_odd(less, x1)}};
        }
        if (p.k < g->depth) break;
    }
    *at = p;
    return count;
}

// Two columns of both rows.
static inline void pair(const wide *x, const wide *end, const int8_t *w, int32_t *s0, int32_t *s1) {
    int32_t a = s0[0], b = s0[1], c = s1[0], d = s1[1];
    for (; x < end; x++, w += 4 * TODY_PANEL_F32) {
        const uint32_t left = tody_word(w), right = tody_word(w + 4);
        const int16x2_t e0 = x->even[0], e1 = x->even[1], o0 = x->odd[0], o1 = x->odd[1];
        const int16x2_t left_even = tody_even(left), left_odd = tody_odd(left);
        a = __smlad(o0, left_odd, __smlad(e0, left_even, a));
        c = __smlad(o1, left_odd, __smlad(e1, left_even, c));
        const int16x2_t right_even = tody_even(right), right_odd = tody_odd(right);
        b = __smlad(o0, right_odd, __smlad(e0, right_even, b));
        d = __smlad(o1, right_odd, __smlad(e1, right_even, d));
    }
    s0[0] = a, s0[1] = b, s1[0] = c, s1[1] = d;
}

// Two columns of one row.
static inline void single(const wide *x, const wide *end, const int8_t *w, int32_t *s0) {
    int32_t a = s0[0], b = s0[1];
    for (; x < end; x++, w += 4 * TODY_PANEL_F32) {
        const uint32_t left = tody_word(w), right = tody_word(w + 4);
        const int16x2_t e0 = x->even[0], o0 = x->odd[0];
        a = __smlad(o0, tody_odd(left), __smlad(e0, tody_even(left), a));
        b = __smlad(o0, tody_odd(right), __smlad(e0, tody_even(right), b));
    }
    s0[0] = a, s0[1] = b;
}

// A depth of one: the values of two rows in the halves of a word for each tap.
static uint32_t widen_thin(const tody_gemm_s8 *g, uint32_t first, uint32_t rows, place *at, int16x2_t buffer[TAPS]) {
    const int32_t zero = g->layer.x_zero;
    const int8_t *const *a = g->a + (size_t)at->tap * g->rows + first;
    const uint32_t left = g->taps - at->tap, count = left < TAPS ? left : TAPS;
    for (uint32_t t = 0; t < count; t++, a += g->rows) {
        buffer[t] = (int16x2_t)((uint32_t)(uint16_t)(a[0][0] - zero) | (uint32_t)(a[rows - 1][0] - zero) << 16);
    }
    at->tap += count;
    return count;
}

// Four columns of both rows.
static inline void thin(const int16x2_t *x, const int16x2_t *end, const int8_t *w, int32_t *s0, int32_t *s1) {
    int32_t a0 = s0[0], a1 = s0[1], a2 = s0[2], a3 = s0[3], b0 = s1[0], b1 = s1[1], b2 = s1[2], b3 = s1[3];
    for (; x < end; x++, w += 4 * TODY_PANEL_F32) {
        const int16x2_t both = *x;
        const int32_t w0 = w[0], w1 = w[4], w2 = w[8], w3 = w[12];
        a0 = __smlabb(both, w0, a0);
        b0 = __smlatb(both, w0, b0);
        a1 = __smlabb(both, w1, a1);
        b1 = __smlatb(both, w1, b1);
        a2 = __smlabb(both, w2, a2);
        b2 = __smlatb(both, w2, b2);
        a3 = __smlabb(both, w3, a3);
        b3 = __smlatb(both, w3, b3);
    }
    s0[0] = a0, s0[1] = a1, s0[2] = a2, s0[3] = a3, s1[0] = b0, s1[1] = b1, s1[2] = b2, s1[3] = b3;
}

// The columns of a panel; what is left of a pair or of four is added to sums that nobody asks for.
static void add_panel(const wide *x, const wide *end, const int8_t *w, uint32_t cols, uint32_t rows, sums *sum) {
    for (uint32_t j = 0; j < cols; j += 2) {
        if (rows == 2) {
            pair(x, end, w + 4 * j, &sum->of[0][j], &sum->of[1][j]);
        } else {
            single(x, end, w + 4 * j, &sum->of[0][j]);
        }
    }
}

static void add_thin(const int16x2_t *x, const int16x2_t *end, const int8_t *w, uint32_t cols, sums *sum) {
    for (uint32_t j = 0; j < cols; j += 4) thin(x, end, w + 4 * j, &sum->of[0][j], &sum->of[1][j]);
}

static uint32_t cols_of(const tody_gemm_s8 *g, uint32_t panel) {
    const uint32_t left = g->cols - panel * TODY_PANEL_F32;
    return left < TODY_PANEL_F32 ? left : TODY_PANEL_F32;
}

// What the sums of the panels begin with.
static void begin(const tody_gemm_s8 *g, uint32_t first, uint32_t rows, sums sum[PANELS]) {
    const uint32_t panels = (g->cols + TODY_PANEL_F32 - 1) / TODY_PANEL_F32;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t start = (uint32_t)tody_row_start_s8(g, first + i);
        for (uint32_t p = 0; p < panels; p++) {
            const int32_t *bias = g->bias ? g->bias + p * TODY_PANEL_F32 : NULL;
            for (uint32_t j = 0; j < TODY_PANEL_F32; j++) {
                sum[p].of[i][j] = (int32_t)(start + (bias ? (uint32_t)bias[j] : 0));
            }
        }
    }
}

static void finish(const tody_gemm_s8 *g, uint32_t i, uint32_t panel, const int32_t *sum) {
    const tody_ends ends = tody_ends_of(&g->layer);
    const float *scale = g->scale + panel * g->scale_stride;
    const size_t column = (size_t)panel * TODY_PANEL_F32;
    int8_t *c = g->c + i * g->c_stride + column, *end = c + cols_of(g, panel);
    if (g->addend) {
        const int8_t *addend = g->addend + i * g->addend_stride + column;
        while (c < end) *c++ = tody_with(*sum++, *scale++, *addend++, ends);
    } else {
        while (c < end) *c++ = tody_alone(*sum++, *scale++, ends);
    }
}

// One row or two, from `first` on.
static void strip(const tody_gemm_s8 *g, uint32_t first, uint32_t rows) {
    sums sum[PANELS];
    wide buffer[WORDS];
    int16x2_t thin_buffer[TAPS];
    place at = {0, 0};
    const int8_t *w = g->w;
    begin(g, first, rows, sum);
    while (at.tap < g->taps) {
        const bool is_thin = g->depth == 1;
        const uint32_t count = is_thin ? widen_thin(g, first, rows, &at, thin_buffer) : widen(g, first, rows, &at, buffer);
        for (uint32_t p = 0; p * TODY_PANEL_F32 < g->cols; p++) {
            if (is_thin) {
                add_thin(thin_buffer, thin_buffer + count, w + p * g->w_stride, cols_of(g, p), &sum[p]);
            } else {
                add_panel(buffer, buffer + count, w + p * g->w_stride, cols_of(g, p), rows, &sum[p]);
            }
        }
        w += (size_t)count * 4 * TODY_PANEL_F32;
    }
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t p = 0; p * TODY_PANEL_F32 < g->cols; p++) finish(g, first + i, p, sum[p].of[i]);
    }
}

void tody_gemm_s8_dsp(const tody_gemm_s8 *g) {
    uint32_t i = 0;
    for (; i + ROWS <= g->rows; i += ROWS) strip(g, i, ROWS);
    if (i < g->rows) strip(g, i, 1);
}

#endif
