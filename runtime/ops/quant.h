// quant.h - what operators of quantised integers share: quantised tensors, multipliers, and how a result ends.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_QUANT_H
#define TODY_OPS_QUANT_H

#include "core/kernels.h"
#include "shape.h"

// Input i holds multipliers: a constant of float32, or of its upper halves, of this shape and pack, each normal, positive and
// below 2^64, so that a product with an int32 is neither infinite nor NaN. Behind the first `count` are slopes: 0 or normal,
// and within (-2^31, 2^31).
tody_status tody_check_multipliers(const tody_call *call, uint32_t i, tody_dtype dtype, uint32_t pack, uint32_t rank,
                                   const uint32_t *shape, uint32_t count);

// The same for a plain float32 one of `count` values that must be the operator's last input.
tody_status tody_check_last_multipliers(const tody_call *call, uint32_t i, uint32_t count);

// How many of them an addend has where the product is rounded to int8 before it comes: that of the addend, that of the rounded
// product, and an integer: 128 less the zero point of that.
enum { TODY_ROUNDED_ADDEND = 3 };

// The multiplier of an addend, or of int8 so many, as the operator's last input.
tody_status tody_check_addend_multipliers(const tody_call *call, uint32_t i, tody_dtype dtype);

// No activation, or a clamp whose limits are two integers of dtype, int8 or int16, in order.
bool tody_limits_ok(const tody_activation *f, tody_dtype dtype);

// How results of y end; f (or NULL for none) has sound limits.
tody_finish_s8 tody_finish_of(const tody_activation *f, const tody_tensor *y);

// fl(fl(x - x_zero) * m): an element's part in a result.
static inline float tody_scaled(int8_t x, int32_t x_zero, float m) { return (float)(x - x_zero) * m; }

#endif
