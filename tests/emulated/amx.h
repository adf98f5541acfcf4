// amx.h - tiles of int8, which a CPU that finds them unlike what an instruction wants does not execute: nor does this.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_EMULATED_AMX_H
#define TODY_TESTS_EMULATED_AMX_H

#include "avx512.h"

enum { AMX_TILES = 8, AMX_ROWS = 16, AMX_ROW_BYTES = 64 };

typedef struct amx_tile {
    uint32_t rows, row_bytes;  // zeros: not configured
    uint8_t bytes[AMX_ROWS][AMX_ROW_BYTES];
} amx_tile;

static _Thread_local amx_tile amx_tiles[AMX_TILES];

EMULATED void amx_must(bool holds) {
    if (!holds) abort();
}

EMULATED amx_tile *amx_tile_of(int number) {
    amx_must(number >= 0 && number < AMX_TILES && amx_tiles[number].rows);
    return &amx_tiles[number];
}

EMULATED void _tile_release(void) { memset(amx_tiles, 0, sizeof amx_tiles); }

// 64 bytes: palette, first row, 14 reserved, 16 times the bytes of a row, 16 times the rows.
EMULATED void _tile_loadconfig(const void *config) {
    uint8_t c[64];
    memcpy(c, config, sizeof c);
    amx_must(c[0] == 1 && c[1] == 0);
    for (int i = 2; i < 16; i++) amx_must(c[i] == 0);
    _tile_release();
    for (int i = 0; i < 16; i++) {
        const uint32_t row_bytes = c[16 + 2 * i] | (uint32_t)c[17 + 2 * i] << 8, rows = c[48 + i];
        amx_must(!rows == !row_bytes && (i < AMX_TILES || !rows) && rows <= AMX_ROWS && row_bytes <= AMX_ROW_BYTES);
        if (rows) amx_tiles[i] = (amx_tile){.rows = rows, .row_bytes = row_bytes};
    }
}

EMULATED void _tile_zero(int to) {
    amx_tile *t = amx_tile_of(to);
    memset(t->bytes, 0, sizeof t->bytes);
}

// What lies beyond the tile's shape becomes zero.
EMULATED void _tile_loadd(int to, const void *from, size_t stride) {
    amx_tile *t = amx_tile_of(to);
    _tile_zero(to);
    for (uint32_t i = 0; i < t->rows; i++) memcpy(t->bytes[i], (const char *)from + i * stride, t->row_bytes);
}

EMULATED void _tile_stored(int from, void *to, size_t stride) {
    const amx_tile *t = amx_tile_of(from);
    for (uint32_t i = 0; i < t->rows; i++) memcpy((char *)to + i * stride, t->bytes[i], t->row_bytes);
}

// sums[m][n] += u[m][4 k + i] * s[k][4 n + i] over all k and i; rows that are none become zero.
EMULATED void _tile_dpbusd(int sums, int u, int s) {
    amx_tile *c = amx_tile_of(sums);
    const amx_tile *a = amx_tile_of(u), *b = amx_tile_of(s);
    amx_must(sums != u && sums != s && u != s);
    amx_must(a->rows == c->rows && a->row_bytes == 4 * b->rows && b->row_bytes == c->row_bytes && c->row_bytes % 4 == 0);
    for (uint32_t m = 0; m < c->rows; m++) {
        v512 sum = {.i = _mm512_loadu_si512(c->bytes[m])};
        for (uint32_t k = 0; k < b->rows; k++) {
            int32_t four;
            memcpy(&four, &a->bytes[m][4 * k], sizeof four);
            sum.i = _mm512_dpbusd_epi32(sum.i, _mm512_set1_epi32(four), _mm512_loadu_si512(b->bytes[k]));
        }
        memcpy(c->bytes[m], &sum, c->row_bytes);
    }
}

#endif
