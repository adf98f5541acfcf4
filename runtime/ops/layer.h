// layer.h - the inputs behind the weights that conv, dwconv, deconv and dense have in common, in float32 and in integers.
// SPDX-License-Identifier: Apache-2.0
//
// 0 x, 1 w, 2 [bias], [3 addend, where the operator takes one], then for integers the multipliers of the sums and, with an
// addend, that of the addend. `addends` below is 1 or 0: whether the operator takes one.
#ifndef TODY_OPS_LAYER_H
#define TODY_OPS_LAYER_H

#include "quant.h"

enum { TODY_LAYER_BIAS = 2, TODY_LAYER_ADDEND = 3 };

// Weights for an x of this dtype: their dtype and pack.
bool tody_is_weights(const tody_tensor *w, tody_dtype dtype, uint8_t pack);

// Weights of rows for an x of this dtype: panels, or of int8 blocks.
bool tody_is_matrix(const tody_tensor *w, tody_dtype dtype);

// Everything behind weights that are already sound, and the activation.
tody_status tody_check_layer(const tody_call *call, uint32_t addends, const tody_activation *f);

// Of integers: the multipliers, and the numbers that all results share.
const float *tody_layer_scale(const tody_call *call, uint32_t addends);
tody_layer_s8 tody_layer_of(const tody_call *call, uint32_t addends, const tody_activation *f);

// An optional input's values, or NULL.
static inline const void *tody_in_data(const tody_call *call, uint32_t i) {
    return tody_has_in(call, i) ? tody_in(call, i).data : NULL;
}

// Fill a pixel that stands for padding: the value of 0.0.
void tody_fill_zero(const tody_tensor *x, void *pixel, uint32_t channels);

#endif
