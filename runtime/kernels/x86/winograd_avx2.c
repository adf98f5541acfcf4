// winograd_avx2.c - the transforms of Winograd's convolution for AVX2.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// A square takes more registers than there are: lines written out, or made two at a time, took longer.
enum { UNROLL = 6, UNROLL_LINES = 1, BY_TWOS = 0, AHEAD = 256 };

// behind the vectors that it is written in
#include "kernels/winograd.h"
#include "kernels/winograd_filters.h"

void tody_winograd_weights_f32_avx2(const tody_winograd_weights *args) { winograd_weights(args); }
void tody_winograd_in_f32_avx2(const tody_winograd_in *args) { winograd_in(args); }
void tody_winograd_out_f32_avx2(const tody_winograd_out *args) { winograd_out(args); }
