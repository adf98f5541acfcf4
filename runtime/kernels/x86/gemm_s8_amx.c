// gemm_s8_amx.c - int8 matrix product by matrix tiles (AMX): 32 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. A panel is already what the second operand of tdpbssd must be: rows of sixteen columns by four
// values of depth. Rows of A are loaded from where they are if they lie at one distance from each other, else copied.
// Source: Intel, "Architecture instruction set extensions programming reference", chapter on AMX.
#include "gemm_s8_avx512.h"

enum {
    ROWS = 32,
    HALF = 16,
    STEP = 16,
    ROOM = 1024
};  // rows of a call, of a tile; groups of depth in a tile; bytes of a spread row
enum { SUMS = 0, A_TOP = 4, A_BOTTOM = 5, W_LOW = 6, W_HIGH = 7 };  // numbers of tiles: sums are 0 to 3

#define INLINE static inline __attribute__((always_inline))

// As ldtilecfg reads it.
typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;

// Depth as it is walked: `taps` of `groups` groups of four values, of which the last holds what is left of `depth`, in steps of
// `width` groups.
typedef struct walk {
    uint32_t taps, groups, depth, width;
    const int8_t *spread;  // rows of all taps, ROOM from one to the next; or NULL: at their pointers
} walk;

// Where the rows of a tile are.
typedef struct line {
    const int8_t *first;
    size_t stride;
    bool even;  // else each has its pointer
} line;

typedef struct copies {
    int8_t top[HALF][64], bottom[HALF][64], low[STEP][64], high[STEP][64];
} copies;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void set_tile(config *c, uint32_t tile, uint32_t rows, uint32_t row_bytes) {
    c->rows[tile] = (uint8_t)rows;
    c->row_bytes[tile] = (uint16_t)row_bytes;
}

// Clears all tiles.
static void configure(uint32_t rows, uint32_t width) {
    config c = {.palette = 1};
    const uint32_t top = least(rows, HALF), bottom = rows - top;
    for (uint32_t i = 0; i < 2; i++) {
        set_tile(&c, SUMS + i, top, 64);
        if (bottom) set_tile(&c, SUMS + 2 + i, bottom, 64);
        set_tile(&c, W_LOW + i, width, 64);
    }
    set_tile(&c, A_TOP, top, width * 4);
    if (bottom) set_tile(&c, A_BOTTOM, bottom, width * 4);
    _tile_loadconfig(&c);
}

// Whether all rows have the distance of the first two: up to sixteen pointers at once.
static line line_of(const int8_t *const *a, uint32_t rows) {
    const size_t stride = rows > 1 ? (size_t)((uintptr_t)a[1] - (uintptr_t)a[0]) : 64;
    const uint32_t next = (1u << (rows - 1)) - 1;
    const __mmask8 low = (__mmask8)next, high = (__mmask8)(next >> 8);
    const __m512i want = _mm512_set1_epi64((long long)stride);
    const __m512i x = _mm512_sub_epi64(_mm512_maskz_loadu_epi64(low, a + 1), _mm512_maskz_loadu_epi64(low, a));
    const __m512i y = _mm512_sub_epi64(_mm512_maskz_loadu_epi64(high, a + 9), _mm512_maskz_loadu_epi64(high, a + 8));
    const bool odd = _mm512_mask_cmpneq_epi64_mask(low, x, want) | _mm512_mask_cmpneq_epi64_mask(high, y, want);
    return (line){a[0], stride, !odd};
}

// `count` bytes of each row from k on, x_zero up to a whole group, and zeros.
static void copy_rows(const tody_gemm_s8 *g, const line *l, const int8_t *const *a, uint32_t rows, uint32_t k, uint32_t count,
                      int8_t to[HALF][64]) {
    const __mmask64 there = count < 64 ? ((__mmask64)1 << count) - 1 : ~(__mmask64)0;
    const uint32_t whole = (count + 3) / 4 * 4;
    const __mmask64 group = whole < 64 ? ((__mmask64)1 << whole) - 1 : ~(__mmask64)0;
    const __m512i behind = _mm512_maskz_set1_epi8(group, (char)g->layer.x_zero);
    for (uint32_t i = 0; i < rows; i++) {
        const int8_t *row = l->even ? (const int8_t *)((uintptr_t)l->first + i * l->stride) : a[i];
        _mm512_storeu_si512(to[i], _mm512_mask_loadu_epi8(behind, there, row + k));
    }
}

static void copy_weights(const int8_t *w, uint32_t groups, int8_t to[STEP][64]) {
    memset(to, 0, sizeof(int8_t[STEP][64]));
    memcpy(to, w, (size_t)groups * 64);
}

// The tile instructions of some compilers do not tell that they read memory.
INLINE void written(void) { __asm__ volatile("" ::: "memory"); }

// Tiles are named by numbers, which compilers want as such.
INLINE void multiply(const line *top, const line *bottom, const int8_t *low, const int8_t *high) {
    _tile_loadd(4, top->first, top->stride);
    _tile_loadd(6, low, 64);
    _tile_dpbssd(0, 4, 6);
    if (high) {
        _tile_loadd(7, high, 64);
        _tile_dpbssd(1, 4, 7);
    }
    if (!bottom) return;
    _tile_loadd(5, bottom->first, bottom->stride);
    _tile_dpbssd(2, 5, 6);
    if (high) _tile_dpbssd(3, 5, 7);
}

// Rows of one half at the step from group `at` on: in place where that reads nothing but them.
INLINE line rows_at(const tody_gemm_s8 *g, const walk *w, const line *l, const int8_t *const *a, uint32_t rows, uint32_t at,
                    int8_t copy[HALF][64]) {
    const uint32_t k = at * 4, left = w->depth - k, bytes = w->width * 4;
    if (l->even && left >= bytes) return (line){l->first + k, l->stride, true};
    copy_rows(g, l, a, rows, k, least(left, bytes), copy);
    return (line){copy[0], 64, true};
}

INLINE void walk_tap(const tody_gemm_s8 *g, const walk *w, uint32_t tap, copies *copy) {
    const uint32_t top = least(g->rows, HALF), bottom = g->rows - top;
    const int8_t *const *a = g->a + (size_t)tap * g->rows, *weights = g->w + (size_t)tap * w->groups * 64;
    const line high = w->spread ? (line){w->spread, ROOM, true} : line_of(a, top);
    const line low = !bottom ? high : w->spread ? (line){w->spread + HALF * ROOM, ROOM, true} : line_of(a + HALF, bottom);
    for (uint32_t at = 0; at < w->groups; at += w->width, weights += (size_t)w->width * 64) {
        const uint32_t groups = least(w->groups - at, w->width);
        const int8_t *first = weights, *second = g->cols > 16 ? weights + g->w_stride : NULL;
        const line x = rows_at(g, w, &high, a, top, at, copy->top);
        const line y = bottom ? rows_at(g, w, &low, a + HALF, bottom, at, copy->bottom) : x;
        if (groups < w->width) {
            copy_weights(first, groups, copy->low);
            if (second) copy_weights(second, groups, copy->high);
            first = copy->low[0];
            second = second ? copy->high[0] : NULL;
        }
        written();
        multiply(&x, bottom ? &y : NULL, first, second);
    }
}

// Sums of the weights of each column of a panel: four at once, because each waits five cycles for itself.
static __m512i weight_sums(const int8_t *w, size_t groups) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i s[4] = {all_s32(0), all_s32(0), all_s32(0), all_s32(0)};
    size_t at = 0;
    for (; at + 4 <= groups; at += 4, w += 256) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < 4; i++) s[i] = _mm512_dpbusd_epi32(s[i], ones, _mm512_loadu_si512(w + (size_t)i * 64));
    }
    for (; at < groups; at++, w += 64) s[0] = _mm512_dpbusd_epi32(s[0], ones, _mm512_loadu_si512(w));
    return add_s32(add_s32(s[0], s[1]), add_s32(s[2], s[3]));
}

// What all sums of a column begin with: the bias, less what x_zero adds.
static sums start_of(const tody_gemm_s8 *g, size_t groups) {
    const sums bias = bias_s8(g->bias, g->cols);
    if (g->layer.x_zero == 0) return bias;
    const __m512i zero = all_s32(g->layer.x_zero);
    const __m512i low = _mm512_mullo_epi32(weight_sums(g->w, groups), zero);
    if (g->cols <= 16) return (sums){sub_s32(bias.low, low), bias.high};
    return (sums){sub_s32(bias.low, low),
                  sub_s32(bias.high, _mm512_mullo_epi32(weight_sums(g->w + g->w_stride, groups), zero))};
}

// Steps of one width if the groups can be dealt out so, which spares the copies of what is left.
static uint32_t width_of(uint32_t groups) {
    const uint32_t steps = (groups + STEP - 1) / STEP;
    return groups % steps == 0 ? groups / steps : STEP;
}

// Shallow taps are put side by side.
static walk walk_of(const tody_gemm_s8 *g, uint8_t *spread) {
    walk w = {g->taps, (g->depth + 3) / 4, g->depth, 0, NULL};
    if (g->depth < 4 && g->taps * 4 + 64 <= ROOM) {
        spread_taps_s8(g, spread, ROOM, 0);
        w = (walk){1, g->taps, g->taps * 4, 0, (const int8_t *)spread};
    }
    w.width = width_of(w.groups);
    return w;
}

void tody_gemm_s8_amx(const tody_gemm_s8 *args) {
    uint8_t spread[ROWS * ROOM];
    copies copy;
    sums s[ROWS];
    const walk w = walk_of(args, spread);
    configure(args->rows, w.width);
    for (uint32_t tap = 0; tap < w.taps; tap++) walk_tap(args, &w, tap, &copy);
    const sums start = start_of(args, (size_t)w.taps * w.groups);
    _tile_stored(0, &s[0].low, sizeof *s);
    if (args->cols > 16) _tile_stored(1, &s[0].high, sizeof *s);
    if (args->rows > HALF) {
        _tile_stored(2, &s[HALF].low, sizeof *s);
        if (args->cols > 16) _tile_stored(3, &s[HALF].high, sizeof *s);
    }
    _tile_release();
    written();
    finish_rows(args, s, &start);
}
