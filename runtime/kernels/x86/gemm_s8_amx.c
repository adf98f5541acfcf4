// gemm_s8_amx.c - int8 matrix product by matrix tiles (AMX): 32 rows by two panels.
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. A panel is already what the second operand of tdpbssd must be: rows of sixteen columns by four
// values of depth. All tiles are whole: rows are packed so that what lies behind them may be read, and the weights of the last
// step are copied where it is not whole, with zeros for what is missing.
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

static void configure(void) {
    config c = {.palette = 1};
    for (uint32_t i = 0; i < 8; i++) {
        c.rows[i] = HALF;
        c.row_bytes[i] = STEP;
    }
    _tile_loadconfig(&c);
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

static void copy_weights(int8_t *to, const int8_t *w, size_t bytes) {
    memset(to + bytes, 0, TILE_BYTES - bytes);
    memcpy(to, w, bytes);
}

INLINE void store_tiles(sums *s, const bool tall, const bool both) {
    _tile_stored(0, &s[0].low, sizeof *s);
    if (both) _tile_stored(1, &s[0].high, sizeof *s);
    if (tall) _tile_stored(2, &s[HALF].low, sizeof *s);
    if (tall && both) _tile_stored(3, &s[HALF].high, sizeof *s);
}

INLINE void tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const bool tall, const bool both, sums *s) {
    const size_t stride = g->packed_stride, whole = g->depth / STEP * STEP;
    const int8_t *w = c->w;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (const int8_t *end = a + whole; a < end; a += STEP, w += TILE_BYTES) step(a, stride, w, w + c->w_stride, tall, both);
    if (whole < g->depth) {
        int8_t low[TILE_BYTES], high[TILE_BYTES];
        copy_weights(low, w, (g->depth - whole) * 16);
        if (both) copy_weights(high, w + c->w_stride, (g->depth - whole) * 16);
        memory_used();
        step(a, stride, low, high, tall, both);
    }
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

void tody_gemm_s8_amx(const tody_gemm_s8 *args) {
    memory_used();
    configure();
    run_block(args);
    _tile_release();
}

void tody_pack_s8_amx(const tody_pack_s8 *args) { pack_rows(args, 0); }
