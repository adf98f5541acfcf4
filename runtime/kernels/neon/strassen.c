// strassen.c - the additions of Strassen's products, four at a time.
// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

// behind the vectors that it is written in
#include "kernels/strassen.h"

void tody_strassen_in_f32_neon(const tody_strassen_in *args) { strassen_in(args); }
void tody_strassen_out_f32_neon(const tody_strassen_out *args) { strassen_out(args); }
