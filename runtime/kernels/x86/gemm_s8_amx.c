// gemm_s8_amx.c - int8 matrix product by matrix tiles (AMX): 32 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. A panel is already what the second operand of tdpbssd must be: rows of sixteen columns by four
// values of depth. Rows are packed so that what lies behind them may be read; the weights of a last step that is
// not whole are copied, with zeros for what is missing.
// Source: Intel, "Architecture instruction set extensions programming reference", chapter on AMX.
#include "pack_s8_avx512.h"
#include "vector_s8_avx512.h"

enum { TILE = 32, SHIFT = 0 };
enum { HALF = 16, STEP = 64, TILE_BYTES = 1024 };  // rows of a matrix tile; values of depth in it; its size

static inline integers dot(integers sum, integers u, integers w) { return _mm512_dpbusd_epi32(sum, u, w); }

#include "gemm_s8_bytes.h"

// As ldtilecfg reads it.
typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;

// All tiles are of 16 rows of 64 bytes, but for those that hold `values` of depth.
static void configure(size_t values) {
    config c = {.palette = 1};
    for (uint32_t i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)(i < 6 ? HALF : values / 4);
        c.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? values : STEP);
    }
    _tile_loadconfig(&c);
}

// Values of depth in a step: steps of one size, if there are such, need no copies of weights.
static size_t step_of(size_t depth) {
    const size_t steps = (depth + STEP - 1) / STEP;
    return depth / 4 % steps == 0 ? depth / steps : STEP;
}

// The tile instructions of some compilers do not tell that they read and write memory.
INLINE void memory_used(void) { __asm__ volatile("" ::: "memory"); }

// One step in depth. Compilers want the numbers of tiles as such: sums are 0 to 3, rows 4 and 5, weights 6 and 7.
INLINE void step(const int8_t *a, size_t stride, const int8_t *low, const int8_t *high, const bool tall, const bool both) {
    _tile_loadd(4, a, stride);
    _tile_loadd(6, low, 64);
    _tile_dpbssd(0, 4, 6);
    if (both) {
        _tile_loadd(7, high, 64);
        _tile_dpbssd(1, 4, 7);
    }
    if (!tall) return;
    _tile_loadd(5, a + HALF * stride, stride);
    _tile_dpbssd(2, 5, 6);
    if (both) _tile_dpbssd(3, 5, 7);
}

INLINE void store_tiles(sums *s, const bool tall, const bool both) {
    _tile_stored(0, &s[0].low, sizeof *s);
    if (both) _tile_stored(1, &s[0].high, sizeof *s);
    if (tall) _tile_stored(2, &s[HALF].low, sizeof *s);
    if (tall && both) _tile_stored(3, &s[HALF].high, sizeof *s);
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const bool tall, const bool both, sums *s) {
    const size_t stride = g->packed_stride, values = step_of(g->depth);
    const int8_t *w = c->w, *end = a + g->depth / values * values;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; a < end; a += values, w += values * 16) step(a, stride, w, w + c->w_stride, tall, both);
    if (c->rest) step(a, stride, c->rest, c->rest + TILE_BYTES, tall, both);
    store_tiles(s, tall, both);
    memory_used();
}

static void tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    if (rows > HALF && c->count > 16)
        tile_of(g, c, a, true, true, s);
    else if (rows > HALF)
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

void tody_gemm_s8_amx(const tody_gemm_s8 *args) {
    int8_t rest[2 * TILE_BYTES];
    configure(step_of(args->depth));
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        columns c = columns_of(args, column);
        c.rest = copy_rest(&c, args->depth, rest);
        memory_used();
        run_rows(args, &c, tile);
    }
    _tile_release();
}

void tody_pack_s8_amx(const tody_pack_s8 *args) { pack_rows(args, 0); }
