// windows.h - depthwise windows of 3x3, the inner loop: eight channels in a vector.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_HELIUM_WINDOWS_H
#define TODY_KERNELS_HELIUM_WINDOWS_H

#include <stdint.h>

enum { TODY_WINDOW_CHANNELS = 8, TODY_WINDOW_TAPS = 9 };

// Of eight channels, in the order in which the loop reads it; a half is channels of even numbers, then of odd ones.
typedef struct tody_filter_helium {
    int32_t start[2][TODY_WINDOW_CHANNELS / 2];  // what sums begin with
    int16_t w[TODY_WINDOW_TAPS][TODY_WINDOW_CHANNELS];
    float scale[2][TODY_WINDOW_CHANNELS / 2];
} tody_filter_helium;

typedef struct tody_windows_helium {
    const int8_t *const *x;     // of each pixel three columns of three pointers
    uint32_t x_step, x_column;  // from the pointers of a pixel to those of the next, and of a column, in bytes
    uint32_t k;                 // the first channel
    const tody_filter_helium *filters;
    uint32_t blocks;  // of eight channels, at least 1
    int8_t *c;        // of the first channel
    uint32_t c_stride, pixels;
    int32_t zero, lo, hi;  // of the results
} tody_windows_helium;

// Results without addends. Changes x, c and pixels.
void tody_add_windows_helium(tody_windows_helium *windows);

#endif
