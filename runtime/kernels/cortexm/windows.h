// windows.h - 3x3 windows of one channel that lie side by side, the inner loops of depthwise convolution.
// SPDX-License-Identifier: Apache-2.0
//
// A value is widened once for all windows that have it. Nine taps are five products: three of lines 0 and 1, two of line 2.
#ifndef TODY_KERNELS_CORTEXM_WINDOWS_H
#define TODY_KERNELS_CORTEXM_WINDOWS_H

#include <arm_acle.h>
#include <stdint.h>

// Two columns of three lines.
typedef struct tody_columns_dsp {
    int16x2_t first, second;  // lines 0 and 1 of a column
    int16x2_t last;           // line 2 of both
} tody_columns_dsp;

// A filter: the same for its three columns; of line 2 columns 0 and 1, then 1 and 2; what sums begin with.
typedef struct tody_filter_dsp {
    int16x2_t column[3], last[2];
    int32_t start;
} tody_filter_dsp;

enum { TODY_PAIRS_DSP = 16 };  // of columns, from those of one channel to those of the next

// So many columns of four channels from k on: each has three pointers, and begins `stride` bytes behind the one before. `less`
// is added to their values. One that has no other is a pair with itself.
void tody_take_columns_dsp(tody_columns_dsp *to, const int8_t *const *x, size_t k, uint32_t count, int16x2_t less,
                           size_t stride);

// Sums of four channels, side by side, of windows whose first columns are neighbours, by twos: an odd number is made even. One
// pair of columns more than there are pairs of windows.
void tody_add_windows_dsp(const tody_columns_dsp *x, const tody_filter_dsp w[4], int32_t *sums, const int32_t *end);

// The same of windows two columns apart. One pair of columns more than there are windows.
void tody_add_windows_apart_dsp(const tody_columns_dsp *x, const tody_filter_dsp w[4], int32_t *sums, const int32_t *end);

#endif
