// tiles.h - products of int8 rows and columns of a panel, the inner loops: three rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// A vector of sixteen values of depth of each row meets one of each column: six of its products at a time have a register each.
// The words of a column lie 64 bytes apart, as in a panel, and are gathered; what is behind the depth is not read.
#ifndef TODY_KERNELS_HELIUM_TILES_H
#define TODY_KERNELS_HELIUM_TILES_H

#include <stdint.h>

enum { TODY_TILE_ROWS_HELIUM = 3, TODY_THIN_HELIUM = 16 };

typedef struct tody_tiles_helium {
    const int8_t *const *x;  // of each tile three rows
    uint32_t tiles;          // at least 1, as all of these
    uint32_t depth;          // values of each row
    const int8_t *w;
    uint32_t pairs;  // of columns
    int32_t *sums;   // [tile][column][row]
} tody_tiles_helium;

// sums += the products.
void tody_add_tiles_helium(const tody_tiles_helium *tiles);

// The same of a depth up to TODY_THIN_HELIUM.
void tody_add_thin_tiles_helium(const tody_tiles_helium *tiles);

// sums[column] += the weights of so many values of depth.
void tody_add_weights_helium(const int8_t *w, uint32_t depth, uint32_t pairs, int32_t *sums);

// Both for a lone row, sums being those of a tile: the products are added to row 0 of it, the weights to row 1.
void tody_add_row_helium(const int8_t *x, uint32_t depth, const int8_t *w, uint32_t pairs, int32_t *sums);

// Taps of a row, whose pointers lie `next` bytes apart, one behind the other, `bytes` apart. What is behind their depth stays.
void tody_join_taps_helium(const int8_t *const *a, uint32_t next, uint32_t taps, uint32_t depth, uint32_t bytes, int8_t *to);

#endif
