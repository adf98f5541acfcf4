"""The table of importers: TFLite operator -> the function that says it in our primitives.

An importer takes the builder and the call and returns what the operator makes. To add an operator, write the function in the
file of its family and add a row here; options that it needs are spelt in `schema.OPTIONS`.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence

from ...builder import Builder
from ...operand import Operand
from ..call import TfliteCall
from . import convolution, elementwise, matrix, recurrent, reduction, shape

Importer = Callable[[Builder, TfliteCall], "Operand | Sequence[Operand | None]"]

_ROWS: list[tuple[Importer, str]] = [
    # element by element
    (elementwise.same, " ".join(elementwise.SAME)),
    (elementwise.clamp, "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1"),
    (elementwise.activation, "ELU GELU HARD_SWISH LEAKY_RELU RSQRT SQUARE"),
    (elementwise.arithmetic, "ADD SUB MUL DIV SQUARED_DIFFERENCE"),
    (elementwise.floor_div, "FLOOR_DIV"),
    (elementwise.not_equal, "NOT_EQUAL"),
    (elementwise.select, "SELECT"),
    (elementwise.cast, "CAST"),
    (elementwise.identity, "QUANTIZE DEQUANTIZE DENSIFY"),
    # convolution and pooling
    (convolution.conv, "CONV_2D"),
    (convolution.depthwise, "DEPTHWISE_CONV_2D"),
    (convolution.transpose_conv, "TRANSPOSE_CONV"),
    (convolution.pool, "AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D"),
    (convolution.resize, "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR"),
    # matrices
    (matrix.fully_connected, "FULLY_CONNECTED"),
    (matrix.batch_matmul, "BATCH_MATMUL"),
    # along dimensions
    (reduction.reduce, "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD"),
    (reduction.reduce_bool, "REDUCE_ANY REDUCE_ALL"),
    (reduction.arg_reduce, "ARG_MAX ARG_MIN"),
    (reduction.top_k, "TOPK_V2"),
    (reduction.cumsum, "CUMSUM"),
    (reduction.softmax, "SOFTMAX LOG_SOFTMAX"),
    (reduction.l2_normalization, "L2_NORMALIZATION"),
    (reduction.local_response_normalization, "LOCAL_RESPONSE_NORMALIZATION"),
    # moving elements
    (shape.reshape, "RESHAPE"),
    (shape.squeeze, "SQUEEZE"),
    (shape.expand_dims, "EXPAND_DIMS"),
    (shape.transpose, "TRANSPOSE"),
    (shape.concatenation, "CONCATENATION"),
    (shape.pack, "PACK"),
    (shape.unpack, "UNPACK"),
    (shape.split, "SPLIT SPLIT_V"),
    (shape.slice_, "SLICE"),
    (shape.strided_slice, "STRIDED_SLICE"),
    (shape.reverse, "REVERSE_V2"),
    (shape.reverse_sequence, "REVERSE_SEQUENCE"),
    (shape.pad, "PAD PADV2"),
    (shape.mirror_pad, "MIRROR_PAD"),
    (shape.tile, "TILE"),
    (shape.broadcast_to, "BROADCAST_TO"),
    (shape.gather, "GATHER EMBEDDING_LOOKUP"),
    (shape.gather_nd, "GATHER_ND"),
    (shape.scatter_nd, "SCATTER_ND"),
    (shape.one_hot, "ONE_HOT"),
    (shape.depth_to_space, "DEPTH_TO_SPACE"),
    (shape.space_to_depth, "SPACE_TO_DEPTH"),
    (shape.batch_to_space, "BATCH_TO_SPACE_ND"),
    (shape.space_to_batch, "SPACE_TO_BATCH_ND"),
    (shape.sizes, "SHAPE RANK"),
    (shape.fill, "FILL ZEROS_LIKE"),
    (shape.range_, "RANGE"),
    (shape.broadcast_args, "BROADCAST_ARGS"),
    # memory
    (recurrent.sequence_lstm, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
]

IMPORTERS: dict[str, Importer] = {name: importer for importer, names in _ROWS for name in names.split()}
