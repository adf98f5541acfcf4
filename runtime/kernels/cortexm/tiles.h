// tiles.h - products of widened rows and weights, the inner loops: three rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// They take all fourteen registers there are, which no compiler does by itself: six sums, two weights, three values, what the
// weights become, two pointers. A load of a weight serves three rows, one of a row's values two columns. More sums would leave
// too few registers to let loads follow each other, each of which then takes a cycle less.
#ifndef TODY_KERNELS_CORTEXM_TILES_H
#define TODY_KERNELS_CORTEXM_TILES_H

#include <arm_acle.h>
#include <stddef.h>
#include <stdint.h>

enum { TODY_TILE_ROWS = 3 };

// `pairs` pairs of columns, the first of them at w, the next one 8 bytes on; weights of four values of depth lie 64 bytes
// apart, as in a panel. From x to end are, for each four values of depth, values 0 and 2 of each row, then values 1 and 3 of
// each. If thin, the depth is one: values of two taps of each row, and weights of a tap lie 64 bytes apart.
typedef struct tody_tiles_dsp {
    const int16x2_t *x;
    const int8_t *w;
    const int32_t *start;  // of a column, what the sums of its rows begin with
    const int16x2_t *end;
    const float *scale;  // of a column
    int8_t *c;           // results of layers without addend, within all of int8; NULL, and always where there is no FPU: sums
    size_t c_stride;     // from one row to the next
    int32_t zero;        // of the results
    int32_t *sums;       // of row i and column j: sums[4 * j + i]
    uint32_t pairs;      // of results, where they are more than a panel's: a multiple of eight
    uint32_t thin;
    size_t next_panel;  // from the end of a line of weights to the next panel's
} tody_tiles_dsp;

void tody_run_tiles_dsp(const tody_tiles_dsp *tiles);

// The same of one row of a depth other than one: x holds values 0 and 2, then 1 and 3. Sums of `cols` columns, up to a multiple
// of four: sums[j].
void tody_add_row_dsp(const int16x2_t *x, const int16x2_t *end, const int8_t *w, const int32_t *start, uint32_t cols,
                      int32_t *sums);

#endif
