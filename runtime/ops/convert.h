// convert.h - elements of any dtype from and to float32.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_CONVERT_H
#define TODY_OPS_CONVERT_H

#include "core/op.h"

// f[i] = the real value of x[at + i], i < count. Quantised: (q - zero_point) * scale.
void tody_load_f32(const tody_tensor *x, uint32_t at, uint32_t count, float *f);

// y[at + i] = f[i], i < count. Integers: towards zero, held to their range, NaN gives 0. bool: f != 0.
// float16: to nearest even. Quantised: round half to even of f / scale, plus zero_point, held to -128 .. 127; NaN gives
// zero_point.
void tody_store_f32(const tody_tensor *y, uint32_t at, uint32_t count, const float *f);

#endif
