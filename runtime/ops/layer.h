// layer.h - the inputs behind the weights that conv, dwconv, deconv and dense have in common, in float32 and in integers.
// SPDX-License-Identifier: Apache-2.0
//
// 0 x, 1 w, 2 [bias], [3 addend, where the operator takes one], then for integers the multipliers of the sums, with or without
// slopes behind them, and, with an addend, that of the addend. `addends` below is 1 or 0: whether the operator takes one.
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

// What there is for each output channel: biases, float32 or int32, or NULL; of integers multipliers.
typedef struct tody_channels {
    const void *bias;
    const float *scale;
} tody_channels;

// Whether a bias is in 16 bits, with one scale: a power of two that leaves it within int32.
bool tody_is_short_bias(const tody_tensor *t);

// Bytes of scratch for what the file holds in 16 bits; and all there is, with that in *room, at a multiple of 4, which then
// moves on.
uint64_t tody_channels_room(const tody_call *call, uint32_t addends);
tody_channels tody_channels_of(const tody_call *call, uint32_t addends, uint8_t **room);

// Of integers: the numbers that all results share.
tody_layer_s8 tody_layer_of(const tody_call *call, uint32_t addends, const tody_activation *f);

// An optional input's values, or NULL.
static inline const void *tody_in_data(const tody_call *call, uint32_t i) {
    return tody_has_in(call, i) ? tody_in(call, i).data : NULL;
}

// Fill a pixel that stands for padding: the value of 0.0.
void tody_fill_zero(const tody_tensor *x, void *pixel, uint32_t channels);

#endif
