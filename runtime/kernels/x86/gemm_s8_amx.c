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

// Values of depth in a step: steps of one size, if there are such, need no copies of weights.
static size_t step_of(size_t depth) {
    const size_t steps = (depth + STEP - 1) / STEP;
    return depth / 4 % steps == 0 ? depth / steps : STEP;
}

// One step in depth. Compilers want the numbers of tiles as such: sums are 0 to 3, rows 4 and 5, weights 6 and 7.
INLINE void step(const int8_t *a, size_t stride, size_t half, const int8_t *low, const int8_t *high, const bool tall,
                 const bool both) {
    _tile_loadd(4, a, stride);
    _tile_loadd(6, low, 64);
    _tile_dpbusd(0, 4, 6);
    if (both) {
        _tile_loadd(7, high, 64);
        _tile_dpbusd(1, 4, 7);
    }
    if (!tall) return;
    _tile_loadd(5, a + half * stride, stride);
    _tile_dpbusd(2, 5, 6);
    if (both) _tile_dpbusd(3, 5, 7);
}

// Asks for the weights of the next columns: those of a deep product come from the last cache.
INLINE void prefetch(const int8_t *w, size_t stride, size_t count) {
    for (size_t i = 0; i < count; i += 64) {
        _mm_prefetch((const char *)w + i, _MM_HINT_T1);
        _mm_prefetch((const char *)w + stride + i, _MM_HINT_T1);
    }
}

INLINE void store_tiles(sums *s, size_t half, const bool tall, const bool both) {
    _tile_stored(0, &s[0].low, sizeof *s);
    if (both) _tile_stored(1, &s[0].high, sizeof *s);
    if (tall) _tile_stored(2, &s[half].low, sizeof *s);
    if (tall && both) _tile_stored(3, &s[half].high, sizeof *s);
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const bool tall, const bool both, sums *s) {
    const size_t stride = g->packed_stride, half = c->tile / 2, values = step_of(g->depth);
    const int8_t *w = c->w, *end = a + g->depth / values * values, *next = a == g->packed ? c->next : NULL;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; a < end; a += values, w += values * 16) {
        if (next) prefetch(next + (w - c->w), c->w_stride, values * 16);
        step(a, stride, half, w, w + c->w_stride, tall, both);
    }
    if (c->rest) step(a, stride, half, c->rest, c->rest + TILE_BYTES, tall, both);
    store_tiles(s, half, tall, both);
    memory_used();
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    if (rows > c->tile / 2 && c->count > 16)
        tile_of(g, c, a, true, true, s);
    else if (rows > c->tile / 2)
        tile_of(g, c, a, true, false, s);
    else if (c->count > 16)
        tile_of(g, c, a, false, true, s);
    else
        tile_of(g, c, a, false, false, s);
}

// The weights of a last step that is not whole, with zeros behind them; NULL if it is.
static const int8_t *copy_rest(const columns *c, size_t depth, int8_t *rest) {
    const size_t left = depth % step_of(depth) * 16, whole = c->groups * 64 - left;
    if (left == 0) return NULL;
    memset(rest, 0, 2 * TILE_BYTES);
    memcpy(rest, c->w + whole, left);
    if (c->count > 16) memcpy(rest + TILE_BYTES, c->w + c->w_stride + whole, left);
    return rest;
}

// Rows are dealt out evenly: a tile takes as long as it has rows.
void tody_gemm_s8_amx(const tody_gemm_s8 *args) {
    int8_t rest[2 * TILE_BYTES];
    const uint32_t halves = (args->rows + HALF - 1) / HALF, half = (args->rows + halves - 1) / halves;
    configure(step_of(args->depth), half);
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        columns c = columns_of(args, column);
        c.rest = copy_rest(&c, args->depth, rest);
        c.tile = 2 * half;
        c.next = column + COLUMNS < args->cols ? c.w + 2 * c.w_stride : NULL;
        memory_used();
        run_rows(args, &c, tile);
    }
    _tile_release();
}

void tody_pack_s8_amx(const tody_pack_s8 *args) { pack_rows(args, 0x80); }
