// table.c - the operators of this build. A firmware links a shorter list instead.
// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

const tody_op *const tody_ops[] = {
    &tody_op_conv,          &tody_op_dwconv, &tody_op_deconv,  &tody_op_dense,
    &tody_op_matmul,        &tody_op_pool,   &tody_op_unary,   &tody_op_binary,
    &tody_op_where,         &tody_op_cast,   &tody_op_softmax, &tody_op_layer_norm,
    &tody_op_instance_norm, &tody_op_resize, &tody_op_copy,    &tody_op_concat,
    &tody_op_pad,           &tody_op_gather, &tody_op_reduce,  &tody_op_arg_reduce,
    &tody_op_topk,          &tody_op_cumsum, &tody_op_lstm,    &tody_op_gru,
    &tody_op_rnn,           &tody_op_lut,    &tody_op_strips,  NULL,
};
