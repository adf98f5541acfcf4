// strassen_avx512.c - the additions of Strassen's products for AVX-512.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/strassen.h"

void tody_strassen_in_f32_avx512(const tody_strassen_in *args) { strassen_in(args); }
void tody_strassen_out_f32_avx512(const tody_strassen_out *args) { strassen_out(args); }
