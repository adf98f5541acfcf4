// winograd.c - the transforms of Winograd's images and results, four channels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#if defined(__aarch64__)
enum { UNROLL = 6, UNROLL_LINES = 6, BY_TWOS = 1 };
#else
enum { UNROLL = 6, UNROLL_LINES = 6, BY_TWOS = 0 };
#endif

// behind the vectors that it is written in
#include "kernels/winograd.h"

void tody_winograd_in_f32_neon(const tody_winograd_in *args) { winograd_in(args); }
void tody_winograd_out_f32_neon(const tody_winograd_out *args) { winograd_out(args); }
