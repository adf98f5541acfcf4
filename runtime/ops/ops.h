// ops.h - every operator of this build, for ops/table.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_H
#define TODY_OPS_H

#include "core/op.h"

extern const tody_op tody_op_conv, tody_op_dwconv, tody_op_deconv, tody_op_dense, tody_op_matmul, tody_op_pool;
extern const tody_op tody_op_unary, tody_op_binary, tody_op_where, tody_op_cast, tody_op_softmax;
extern const tody_op tody_op_layer_norm, tody_op_instance_norm, tody_op_resize;
extern const tody_op tody_op_copy, tody_op_concat, tody_op_pad, tody_op_gather;
extern const tody_op tody_op_reduce, tody_op_arg_reduce, tody_op_topk, tody_op_cumsum;
extern const tody_op tody_op_lstm, tody_op_gru, tody_op_rnn;
extern const tody_op tody_op_lut, tody_op_strips, tody_op_attention;

#endif
