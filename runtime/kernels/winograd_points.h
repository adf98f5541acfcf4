// winograd_points.h - the points of Winograd's convolution, and what is said of them in the code of all sets.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_WINOGRAD_POINTS_H
#define TODY_KERNELS_WINOGRAD_POINTS_H

#define INLINE static inline __attribute__((always_inline))

enum { EDGE = TODY_MAX_WINOGRAD_EDGE, TAPS = TODY_MAX_WINOGRAD_TAPS, TILE = EDGE - 1, PAIRS = (EDGE - 2) / 2 };

#define A TODY_WINOGRAD_A
#define B TODY_WINOGRAD_B

// Points are infinity, zero, and pairs s and -s: the first pair of four points has the sign 1 alone, those of six are A and B.
static const float a1 = (float)A, b1 = (float)B, a2 = (float)(A * A), b2 = (float)(B * B);

#endif
