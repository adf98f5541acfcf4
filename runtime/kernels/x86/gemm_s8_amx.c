// gemm_s8_amx.c - int8 matrix product by matrix tiles (AMX): 32 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. A panel is already what the second operand of tdpbusd must be: rows of sixteen columns by four
// values of depth. Rows are packed so that what lies behind them may be read, with 128 added: an x_zero of -128, that of every
// input that is never negative, then adds nothing to the sums. The weights of a last step that is not whole are copied, with
// zeros for what is missing.
// Source: Intel, "Architecture instruction set extensions programming reference", chapter on AMX.
#include "pack_s8_avx512.h"
#include "vector_s8_avx512.h"

enum { TILE = 32, SHIFT = 128 };
enum { HALF = 16, STEP = 64, TILE_BYTES = 1024 };  // rows of a matrix tile; values of depth in it; its size

static inline integers dot(integers sum, integers u, integers w) { return _mm512_dpbusd_epi32(sum, u, w); }

#include "gemm_s8_bytes.h"

// As ldtilecfg reads it.
typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;

// The tile instructions of some compilers do not tell that they read and write memory.
INLINE void memory_used(void) { __asm__ volatile("" ::: "memory"); }

// Sums are `half` rows of 16 columns; the other tiles hold `values` of depth.
static void configure(size_t values, uint32_t half) {
    config c = {.palette = 1};
    for (uint32_t i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)(i < 6 ? half : values / 4);
        c.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? values : STEP);
    }
    memory_used();
    _tile_loadconfig(&c);
}

// Values of depth in a step: steps of one size, if a line has such, need no copies of weights.
static size_t step_of(const tody_gemm_s8 *g) {
    const size_t line = g->depth / g->lines;
    size_t steps = (line + STEP - 1) / STEP;
    while (g->lines > 1 && line / 4 % steps != 0) steps++;
    return line / 4 % steps == 0 ? line / steps : STEP;
}

// Half a tile: so many rows from `first` on, which are all that have not been taken yet.
typedef struct half {
    const int8_t *a;
    uint32_t first, rows, skip;  // skip: rows before them, which have been taken
} half;

static half half_at(const tody_gemm_s8 *g, uint32_t index, uint32_t each) {
    const uint32_t parts = (g->width + each - 1) / each, line = index / parts, at = index % parts * each;
    const uint32_t left = g->width - at, from = left < each ? g->width - each : at;
    return (half){g->packed + line * g->width_stride + from * g->packed_stride, line * g->width + at, left < each ? left : each,
                  at - from};
}

// One step in depth. Compilers want the numbers of tiles as such: sums are 0 to 3, rows 4 and 5, weights 6 and 7.
INLINE void step(const int8_t *a, const int8_t *b, size_t stride, const int8_t *low, const int8_t *high, const bool tall,
                 const bool both) {
    _tile_loadd(4, a, stride);
    _tile_loadd(6, low, 64);
    _tile_dpbusd(0, 4, 6);
    if (both) {
        _tile_loadd(7, high, 64);
        _tile_dpbusd(1, 4, 7);
    }
    if (!tall) return;
    _tile_loadd(5, b, stride);
    _tile_dpbusd(2, 5, 6);
    if (both) _tile_dpbusd(3, 5, 7);
}

INLINE void store_tiles(sums *s, const bool tall, const bool both) {
    _tile_stored(0, &s[0].low, sizeof *s);
    if (both) _tile_stored(1, &s[0].high, sizeof *s);
    if (tall) _tile_stored(2, &s[HALF].low, sizeof *s);
    if (tall && both) _tile_stored(3, &s[HALF].high, sizeof *s);
}

// `next` are weights of the columns that follow, of which each step fetches some.
INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const int8_t *b, const bool tall, const bool both,
                    const int8_t *next, sums *s) {
    const size_t stride = g->packed_stride, values = c->step, line = c->line;
    const int8_t *w = c->w;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (uint32_t l = 0; l < g->lines; l++, a += g->line_stride, b += g->line_stride) {
        size_t k = 0;
        for (; k + values <= line; k += values, w += values * 16) {
            step(a + k, b + k, stride, w, w + c->w_stride, tall, both);
            for (const int8_t *end = next + c->ahead; next < end; next += 64) __builtin_prefetch(next, 0, 2);
        }
        if (k < line) step(a + k, b + k, stride, c->rest, c->rest + TILE_BYTES, tall, both);
    }
    store_tiles(s, tall, both);
    memory_used();
}

static void tile(const tody_gemm_s8 *g, const columns *c, const half *a, const half *b, const int8_t *next, sums *s) {
    if (b && c->count > 16)
        tile_of(g, c, a->a, b->a, true, true, next, s);
    else if (b)
        tile_of(g, c, a->a, b->a, true, false, next, s);
    else if (c->count > 16)
        tile_of(g, c, a->a, a->a, false, true, next, s);
    else
        tile_of(g, c, a->a, a->a, false, false, next, s);
}

// The weights of a last step that is not whole, with zeros behind them; NULL if it is.
static const int8_t *copy_rest(const columns *c, size_t depth, int8_t *rest) {
    const size_t left = depth % c->step * 16, whole = c->groups * 64 - left;
    if (left == 0) return NULL;
    memset(rest, 0, 2 * TILE_BYTES);
    memcpy(rest, c->w + whole, left);
    if (c->count > 16) memcpy(rest + TILE_BYTES, c->w + c->w_stride + whole, left);
    return rest;
}

// Two halves of rows after the other: those of short lines need not be of one line.
static void run_halves(const tody_gemm_s8 *g, columns *c, uint32_t each) {
    const uint32_t count = g->rows / g->width * ((g->width + each - 1) / each);
    const size_t share = 2 * c->w_stride / ((count + 1) / 2);  // of the weights of the next columns
    const int8_t *next = c->w + 2 * c->w_stride;
    c->ahead = share * c->step / g->depth;
    for (uint32_t i = 0; i < count; i += 2, next += share) {
        const bool tall = i + 1 < count;
        const half a = half_at(g, i, each), b = half_at(g, tall ? i + 1 : i, each);
        sums s[TILE];
        tile(g, c, &a, tall ? &b : NULL, next, s);
        finish_rows(g, c, a.first, a.rows, s + a.skip);
        if (tall) finish_rows(g, c, b.first, b.rows, s + HALF + b.skip);
    }
}

// Rows are dealt out evenly: a tile takes as long as it has rows.
void tody_gemm_s8_amx(const tody_gemm_s8 *args) {
    int8_t rest[2 * TILE_BYTES];
    const uint32_t halves = (args->width + HALF - 1) / HALF, each = (args->width + halves - 1) / halves;
    const size_t step = step_of(args);
    configure(step, each);
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        columns c = columns_of(args, column);
        c.step = step;
        c.rest = copy_rest(&c, args->depth, rest);
        memory_used();
        run_halves(args, &c, each);
    }
    _tile_release();
}

void tody_pack_s8_amx(const tody_pack_s8 *args) { pack_rows(args, 0x80); }
