// tiles.h - products of int8 rows and columns of a panel, the inner loops: three rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// A vector of sixteen values of depth of each row meets one of each column: six of its products at a time have a register each.
// The words of a column lie 64 bytes apart, as in a panel, and are gathered; what is behind the depth is not read.
#ifndef TODY_KERNELS_HELIUM_TILES_H
#define TODY_KERNELS_HELIUM_TILES_H

#include <stdint.h>

enum { TODY_TILE_ROWS_HELIUM = 3, TODY_THIN_HELIUM = 16 };

typedef struct tody_tile_helium {
    const int8_t *x[TODY_TILE_ROWS_HELIUM];
    uint32_t depth;  // values of each row, at least 1
    const int8_t *w;
    uint32_t pairs;  // of columns, at least 1
    int32_t *sums;   // [column][row]
} tody_tile_helium;

// sums[column][row] += the products.
void tody_add_tile_helium(const tody_tile_helium *tile);

// The same of a depth up to TODY_THIN_HELIUM.
void tody_add_thin_tile_helium(const tody_tile_helium *tile);

// sums[column] += the weights of so many values of depth.
void tody_add_weights_helium(const int8_t *w, uint32_t depth, uint32_t pairs, int32_t *sums);

#endif
