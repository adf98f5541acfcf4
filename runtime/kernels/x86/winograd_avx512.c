// winograd_avx512.c - the transforms of Winograd's convolution for AVX-512.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

enum { UNROLL = 6, UNROLL_LINES = 1, BY_TWOS = 0 };

// behind the vectors that it is written in
#include "kernels/winograd.h"

void tody_winograd_in_f32_avx512(const tody_winograd_in *args) { winograd_in(args); }
void tody_winograd_out_f32_avx512(const tody_winograd_out *args) { winograd_out(args); }
