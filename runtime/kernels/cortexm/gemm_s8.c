// gemm_s8.c - int8 rows times panels by dual 16-bit products: four rows at a time, what is left one by one.
// SPDX-License-Identifier: Apache-2.0
//
// The values of rows are widened once for all columns, less the zero point, into a buffer of some words of depth. The columns
// then take them from there; sums wait in between: sums[column][row].
#include "cortexm.h"
#include "kernels/sums_s8.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"
#include "finish.h"
#include "tiles.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = TODY_TILE_ROWS, PANELS = 2, COLS = PANELS * TODY_PANEL_F32, WORDS = 16 };  // words of depth in the buffer

// One or four rows of the product; where there are three, the last of them is the fourth, too.
typedef struct strip {
    uint32_t first, there;
    uint32_t tap, k, words;  // of the next word of depth; words, or taps of depth one, in the buffer
    int16x2_t *x, *end;      // what the buffer holds
    int32_t *sums;
} strip;

enum { VALUES = WORDS * 2 * ROWS + 2 };  // of the buffer, with its end
_Static_assert(4 * (VALUES + COLS * ROWS) <= TODY_GEMM_WORK, "buffer and sums are what the kernel works with");

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// A word of each row, whose values are those behind the pointers.
INLINE void put(int16x2_t *to, uint32_t rows, uint32_t i, uint32_t word, int16x2_t less) {
    to[i] = tody_add_even(less, word);
    to[rows + i] = tody_add_odd(less, word);
}

// What is left of each row, 1 to 3 values; x_zero stands for those behind.
INLINE void put_rest(const int8_t *const *tap, strip *s, uint32_t rows, uint32_t left, int32_t zero) {
    const int16x2_t less = tody_both(-zero);
    const uint32_t k = s->k, last = s->there - 1;
    int16x2_t *to = s->end;
    for (uint32_t i = 0; i < rows; i++, to++) {
        const int8_t *a = *tap + k;
        const int32_t second = left > 1 ? a[1] : zero, third = left > 2 ? a[2] : zero;
        to[0] = __sadd16((int16x2_t)tody_low_halves((uint32_t)a[0], (uint32_t)third), less);
        to[rows] = (int16x2_t)(uint32_t)(uint16_t)(second - zero);
        if (i < last) tap++;
    }
    s->end = to + rows;
}

INLINE void widen_words(const int8_t *const *tap, const strip *s, int16x2_t *to, const int16x2_t *end, int16x2_t less,
                        uint32_t rows) {
    const int8_t *a = tap[0] + s->k, *b = a, *c = a, *d = a;
    if (rows > 1) b = tap[1] + s->k, c = tap[2] + s->k, d = tap[s->there - 1] + s->k;
    for (; to < end; to += 2 * rows, a += 4) {
        put(to, rows, 0, tody_word(a), less);
        if (rows == 1) continue;
        put(to, rows, 1, tody_word(b), less), b += 4;
        put(to, rows, 2, tody_word(c), less), c += 4;
        put(to, rows, 3, tody_word(d), less), d += 4;
    }
}

// Widen words of a tap of all rows, as many as there is room for.
static void widen_tap(const tody_gemm_s8 *g, strip *s, uint32_t rows) {
    const int16x2_t less = tody_both(-g->layer.x_zero);
    const int8_t *const *tap = g->a + (size_t)s->tap * g->rows + s->first;
    const uint32_t room = (uint32_t)(s->x + (size_t)WORDS * 2 * rows - s->end) / (2 * rows), left = g->depth - s->k;
    const uint32_t whole = least(left / 4, room), after = whole < room ? left % 4 : 0;
    int16x2_t *to = s->end;
    s->end += (size_t)whole * 2 * rows;
    if (rows == 1) widen_words(tap, s, to, s->end, less, 1);
    if (rows == ROWS) widen_words(tap, s, to, s->end, less, ROWS);
    s->k += whole * 4;
    if (after == 0) return;
    put_rest(tap, s, rows, after, g->layer.x_zero);
    s->k += after;
}

// A buffer full of words; how many there are. Pictures have a depth of three.
static uint32_t widen(const tody_gemm_s8 *g, strip *s, uint32_t rows) {
    const int16x2_t *const full = s->x + (size_t)WORDS * 2 * rows;
    s->end = s->x;
    for (; g->depth == 3 && s->tap < g->taps && s->end < full; s->tap++) {
        put_rest(g->a + (size_t)s->tap * g->rows + s->first, s, rows, 3, g->layer.x_zero);
    }
    while (s->tap < g->taps && s->end < full) {
        widen_tap(g, s, rows);
        if (s->k < g->depth) break;
        s->k = 0;
        s->tap++;
    }
    s->end[0] = s->end[1] = TODY_TILE_END;
    return (uint32_t)(s->end - s->x) / (2 * rows);
}

// A depth of one, of four rows: the values of two taps in the halves of a word. Returns how many taps. The last one of an odd
// number has no other, nor have its weights.
static uint32_t widen_thin(const tody_gemm_s8 *g, strip *s) {
    const int32_t zero = g->layer.x_zero;
    const uint32_t left = g->taps - s->tap, count = left < 4 * WORDS ? left : 4 * WORDS;
    s->end = s->x;
    for (uint32_t t = 0; t + 2 <= count; t += 2) {
        const int8_t *const *a = g->a + (size_t)(s->tap + t) * g->rows + s->first, *const *b = a + g->rows;
        for (uint32_t i = 0; i < ROWS; i++) {
            const uint32_t at = i < s->there ? i : s->there - 1;
            *s->end++ = (int16x2_t)((uint32_t)(uint16_t)(a[at][0] - zero) | (uint32_t)(b[at][0] - zero) << 16);
        }
    }
    s->end[0] = s->end[1] = TODY_TILE_END;
    s->tap += count;
    return count;
}

// The last tap of an odd number, of four rows.
static void add_last(const tody_gemm_s8 *g, const strip *s, const int8_t *w, uint32_t cols, int32_t *sums) {
    const int8_t *const *a = g->a + (size_t)(g->taps - 1) * g->rows + s->first;
    for (uint32_t j = 0; j < cols; j++, sums += ROWS) {
        for (uint32_t i = 0; i < s->there; i++) sums[i] += (a[i][0] - g->layer.x_zero) * w[4 * j];
    }
}

// What is in the buffer times columns of a panel.
static void add_panel(const tody_gemm_s8 *g, const strip *s, const int8_t *w, uint32_t cols, int32_t *sums, uint32_t rows) {
    if (rows == 1) {
        tody_add_row_dsp(s->x, s->end, w, cols, sums);
    } else if (g->depth > 1) {
        tody_add_tiles_dsp(s->x, w, sums, (cols + 1) / 2);
    } else {
        if (s->end > s->x) tody_add_thin_tiles_dsp(s->x, w, sums, (cols + 1) / 2);
        if (s->tap == g->taps && g->taps % 2) add_last(g, s, w + (size_t)(s->words - 1) * 4 * TODY_PANEL_F32, cols, sums);
    }
}

// What the sums of `cols` columns begin with.
static void begin(const tody_gemm_s8 *g, strip *s, const int32_t *bias, uint32_t cols, uint32_t rows) {
    static const int32_t none = 0;
    const int32_t *from = bias ? bias : &none;
    const size_t step = bias ? 1 : 0;
    int32_t *sum = s->sums, *const end = sum + (size_t)(cols + 3) / 4 * 4 * rows;
    for (; sum < end; sum += rows, from += step) sum[0] = sum[1] = sum[2] = sum[3] = *from;  // of one row, what follows is next
    for (uint32_t i = 0; g->layer.w_zero && i < rows; i++) {
        const uint32_t more = (uint32_t)tody_row_start_s8(g, s->first + least(i, s->there - 1));
        for (sum = s->sums + i; sum < end; sum += rows) *sum = (int32_t)((uint32_t)*sum + more);
    }
}

// `cols` columns of a panel from `col` on.
static void finish(const tody_gemm_s8 *g, const strip *s, const int32_t *sums, uint32_t col, uint32_t cols, uint32_t rows) {
    const tody_finish_dsp args = {
        .rows = s->there,
        .cols = cols,
        .sums = sums,
        .by_rows = rows == 1,
        .scale = g->scale + col / TODY_PANEL_F32 * g->scale_stride,
        .addend = g->addend ? g->addend + s->first * g->addend_stride + col : NULL,
        .addend_stride = g->addend_stride,
        .c = g->c + s->first * g->c_stride + col,
        .c_stride = g->c_stride,
        .layer = &g->layer,
    };
    tody_finish_sums_dsp(&args);
}

// All columns of a strip of 1 or 4 rows. Words that the buffer holds all at once are widened once.
static void run(const tody_gemm_s8 *g, strip *s, uint32_t rows) {
    bool widened = false;
    for (uint32_t col = 0; col < g->cols; col += COLS) {
        const uint32_t cols = least(g->cols - col, COLS), panels = (cols + TODY_PANEL_F32 - 1) / TODY_PANEL_F32;
        const int8_t *w = g->w + col / TODY_PANEL_F32 * g->w_stride;
        begin(g, s, g->bias ? g->bias + col : NULL, cols, rows);
        if (!widened) s->tap = s->k = 0;
        do {
            if (!widened) {
                const bool first = s->tap == 0 && s->k == 0;
                s->words = g->depth == 1 ? widen_thin(g, s) : widen(g, s, rows);
                widened = first && s->tap == g->taps;
            }
            for (uint32_t p = 0; p < panels; p++) {
                const uint32_t some = least(cols - p * TODY_PANEL_F32, TODY_PANEL_F32);
                int32_t *sums = s->sums + (size_t)p * TODY_PANEL_F32 * rows;
                add_panel(g, s, w + p * g->w_stride, some, sums, rows);
                if (s->tap == g->taps) finish(g, s, sums, col + p * TODY_PANEL_F32, some, rows);
            }
            w += (size_t)s->words * 4 * TODY_PANEL_F32;
        } while (s->tap < g->taps);
    }
}

// Three rows take as long as four, and so does one of depth one; else one or two are faster by themselves.
void tody_gemm_s8_dsp(const tody_gemm_s8 *g) {
    const uint32_t fewest = g->depth > 1 ? ROWS - 1 : 1;
    strip s = {.x = g->work, .sums = (int32_t *)g->work + VALUES};
    for (; g->rows - s.first >= fewest; s.first += s.there) {
        s.there = least(g->rows - s.first, ROWS);
        run(g, &s, ROWS);
    }
    s.there = 1;
    for (; s.first < g->rows; s.first++) run(g, &s, 1);
}

#endif
