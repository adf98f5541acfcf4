// tiles.h - products of widened rows and weights, the inner loops: four rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// They take all fourteen registers there are, which no compiler does by itself. One load of a weight serves four rows, one of
// a row's values two columns: about one instruction for each product. The end of the rows is marked by a word that is none of
// their values, because there is no register left to count.
#ifndef TODY_KERNELS_CORTEXM_TILES_H
#define TODY_KERNELS_CORTEXM_TILES_H

#include <arm_acle.h>
#include <stdint.h>

enum { TODY_TILE_ROWS = 4 };

#define TODY_TILE_END ((int16x2_t)0x80008000)  // after the last word of rows, twice

// For each of `tiles` pairs of columns, the first of them at w, the next one 8 bytes on: sums[column][row] += the products. `x`
// holds, for each four values of depth, values 0 and 2 of each row, then values 1 and 3 of each; weights of four values of
// depth lie 64 bytes apart, as in a panel.
void tody_add_tiles_dsp(const int16x2_t *x, const int8_t *w, int32_t *sums, uint32_t tiles);

// The same of a depth of one: x holds values of two taps of each row, and weights of the taps lie 64 bytes apart.
void tody_add_thin_tiles_dsp(const int16x2_t *x, const int8_t *w, int32_t *sums, uint32_t tiles);

// The same of one row, up to `end`, and of each column: those that fill up the last four are added to sums nobody asks for.
void tody_add_row_dsp(const int16x2_t *row, const int16x2_t *end, const int8_t *w, uint32_t cols, int32_t *sums);

#endif
