// gemm_s8.c - int8 rows times panels by dual 16-bit products: three rows at a time, a single one by itself.
// SPDX-License-Identifier: Apache-2.0
//
// The values of rows are widened once for all columns, less the zero point.
#include "cortexm.h"
#include "kernels/sums_s8.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"
#include "finish.h"
#include "tiles.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = TODY_TILE_ROWS };

#if defined(__ARM_FP)
enum { HAS_FPU = 1 };
#else
enum { HAS_FPU = 0 };
#endif

// What the kernel works with, tody_gemm_work bytes: sums of a panel, zeros where there is no bias, and the values of rows.
typedef struct room {
    int32_t sums[TODY_PANEL_F32 * TODY_FINISH_STEP], none[TODY_PANEL_F32];
    int16x2_t x[];
} room;
_Static_assert(offsetof(room, x) == 320 && 2 * ROWS * sizeof(int16x2_t) == 24, "tody_gemm_work");

// Up to three rows of the product; where there are two, the last of them is the third, too.
typedef struct strip {
    uint32_t first, there;
    bool thin;  // of depth one, in tiles
    room *room;
    int16x2_t *end;  // of the values
} strip;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Words of `rows` rows, whose pointers are `tap` and the next ones, up to the last; returns where they end.
INLINE int16x2_t *put_words(const int8_t *const *tap, uint32_t last, uint32_t words, int16x2_t less, int16x2_t *to,
                            uint32_t rows) {
    const int8_t *x = tap[0], *y = rows > 1 ? tap[1] : NULL, *z = rows > 1 ? tap[last] : NULL;
    for (const int16x2_t *const end = to + (size_t)words * 2 * rows; to < end; to += 2 * rows) {
        const uint32_t first = tody_word(x);
        to[0] = tody_add_even(less, first), to[rows] = tody_add_odd(less, first), x += 4;
        if (rows == 1) continue;
        const uint32_t second = tody_word(y), third = tody_word(z);
        to[1] = tody_add_even(less, second), to[rows + 1] = tody_add_odd(less, second), y += 4;
        to[2] = tody_add_even(less, third), to[rows + 2] = tody_add_odd(less, third), z += 4;
    }
    return to;
}

// What is left of each row, 1 to 3 values, from value k on; x_zero stands for those behind.
INLINE int16x2_t *put_rest(const int8_t *const *tap, uint32_t last, uint32_t k, uint32_t left, int32_t zero, int16x2_t *to,
                           uint32_t rows) {
    const int16x2_t less = tody_both(-zero);
    for (uint32_t i = 0; i < rows; i++, to++) {
        const int8_t *x = *tap + k;
        const int32_t second = left > 1 ? x[1] : zero, third = left > 2 ? x[2] : zero;
        to[0] = __sadd16((int16x2_t)tody_low_halves((uint32_t)x[0], (uint32_t)third), less);
        to[rows] = (int16x2_t)(uint32_t)(uint16_t)(second - zero);
        if (i < last) tap++;
    }
    return to + rows;
}

// All taps of one or three rows, word by word.
INLINE void widen(const tody_gemm_s8 *g, strip *s, uint32_t rows) {
    const int32_t zero = g->layer.x_zero;
    const uint32_t words = g->depth / 4, left = g->depth % 4, last = s->there - 1;
    const int8_t *const *tap = g->a + s->first, *const *const end = tap + (size_t)g->taps * g->rows;
    int16x2_t *to = s->room->x;
    for (; tap < end; tap += g->rows) {
        if (words > 0) to = put_words(tap, last, words, tody_both(-zero), to, rows);
        if (left > 0) to = put_rest(tap, last, words * 4, left, zero, to, rows);
    }
    s->end = to;
}

INLINE void put_pixel(const int8_t *x, int16x2_t less, int16x2_t *to) {
    const int32_t first = x[0], second = x[1], third = x[2];
    to[0] = __sadd16((int16x2_t)tody_low_halves((uint32_t)first, (uint32_t)third), less);
    to[ROWS] = (int16x2_t)(uint32_t)(uint16_t)__sadd16((int16x2_t)second, less);
}

// Pictures: a depth of three, of three rows.
static void widen_pixels(const tody_gemm_s8 *g, strip *s) {
    const int16x2_t less = tody_both(-g->layer.x_zero);
    const size_t next = g->rows;
    const int8_t *const *tap = g->a + s->first, *const *const end = tap + g->taps * next;
    int16x2_t *to = s->room->x;
    for (; tap < end; tap += next, to += 2 * ROWS) {
        const int8_t *x = tap[0], *y = tap[1], *z = tap[2];
        put_pixel(x, less, to);
        put_pixel(y, less, to + 1);
        put_pixel(z, less, to + 2);
    }
    s->end = to;
}

// A depth of one: the values of two taps in the halves of a word. The last one of an odd number is left out.
static void widen_thin(const tody_gemm_s8 *g, strip *s) {
    const int32_t zero = g->layer.x_zero;
    const int8_t *const *a = g->a + s->first;
    s->end = s->room->x;
    for (uint32_t t = 0; t + 2 <= g->taps; t += 2, a += (size_t)2 * g->rows) {
        for (uint32_t i = 0; i < ROWS; i++) {
            const uint32_t at = least(i, s->there - 1);
            *s->end++ = (int16x2_t)((uint32_t)(uint16_t)(a[at][0] - zero) | (uint32_t)(a[g->rows + at][0] - zero) << 16);
        }
    }
}

// What is in no product of two: what weights with a zero point add, and the last tap of an odd number of depth one.
static void add_rest(const tody_gemm_s8 *g, const strip *s, const int8_t *w, uint32_t cols) {
    const size_t step = s->there > 1 ? TODY_FINISH_STEP : 1;
    const uint32_t tap = g->taps - 1;
    w += (size_t)tap * 4 * TODY_PANEL_F32;
    for (uint32_t i = 0; i < s->there; i++) {
        const uint32_t more = (uint32_t)tody_row_start_s8(g, s->first + i);
        const int32_t x = s->thin && g->taps % 2 ? g->a[(size_t)tap * g->rows + s->first + i][0] - g->layer.x_zero : 0;
        int32_t *sum = s->room->sums + i;
        for (uint32_t j = 0; j < cols; j++, sum += step) {
            *sum = (int32_t)((uint32_t)*sum + more + (uint32_t)(x * w[4 * j]));
        }
    }
}

// Sums of `cols` columns from `col` on become results.
static void finish(const tody_gemm_s8 *g, const strip *s, const float *scale, uint32_t col, uint32_t cols) {
    const tody_finish_dsp args = {
        .rows = s->there,
        .cols = cols,
        .sums = s->room->sums,
        .by_rows = s->there == 1,
        .scale = scale,
        .addend = g->addend ? g->addend + s->first * g->addend_stride + col : NULL,
        .addend_stride = g->addend_stride,
        .c = g->c + s->first * g->c_stride + col,
        .c_stride = g->c_stride,
        .layer = &g->layer,
    };
    tody_finish_sums_dsp(&args);
}

// `cols` columns from `col` on: of one panel, or, if they are results at once, of whole ones, or an even number.
static void run_columns(const tody_gemm_s8 *g, const strip *s, uint32_t col, uint32_t cols, bool results) {
    const uint32_t panel = col / TODY_PANEL_F32, in = col % TODY_PANEL_F32;
    const tody_tiles_dsp t = {
        .x = s->room->x,
        .w = g->w + panel * g->w_stride + in * 4,
        .start = g->bias ? g->bias + col : s->room->none,
        .end = s->end,
        .scale = g->scale + panel * g->scale_stride + in,
        .c = results ? g->c + s->first * g->c_stride + col : NULL,
        .c_stride = g->c_stride,
        .zero = g->layer.finish.zero,
        .sums = s->room->sums,
        .pairs = (cols + 1) / 2,
        .thin = s->thin,
        .next_panel = g->w_stride - 4 * TODY_PANEL_F32,
    };
    if (s->there > 1)
        tody_run_tiles_dsp(&t);
    else
        tody_add_row_dsp(t.x, t.end, t.w, t.start, cols, t.sums);
    if (results) return;
    if (g->layer.w_zero || s->thin) add_rest(g, s, t.w, cols);
    finish(g, s, t.scale, col, cols);
}

void tody_gemm_s8_dsp(const tody_gemm_s8 *g) {
    const bool thin = g->depth == 1 && g->taps > 1, exact = !g->layer.w_zero && !(thin && g->taps % 2);
    const bool plain = HAS_FPU && exact && tody_is_plain(g->addend, &g->layer) && tody_is_whole(&g->layer);
    const bool together = g->bias && g->scale_stride == TODY_PANEL_F32;  // panels
    strip s = {.room = g->work};
    if (!g->bias) memset(s.room->none, 0, sizeof s.room->none);
    for (; s.first < g->rows; s.first += s.there) {
        s.there = least(g->rows - s.first, ROWS);
        s.thin = thin && s.there > 1;
        if (s.thin)
            widen_thin(g, &s);
        else if (g->depth == 3 && s.there == ROWS)
            widen_pixels(g, &s);
        else if (s.there > 1)
            widen(g, &s, ROWS);
        else
            widen(g, &s, 1);
        for (uint32_t col = 0, cols; col < g->cols; col += cols) {
            const uint32_t left = g->cols - col;
            const bool results = plain && s.there == ROWS && left > 1;
            cols = least(left, TODY_PANEL_F32 - col % TODY_PANEL_F32);
            if (results) cols = together && left >= TODY_PANEL_F32 ? left & ~(TODY_PANEL_F32 - 1) : cols & ~1u;
            run_columns(g, &s, col, cols, results);
        }
    }
}

#endif
