"""The table of importers: ONNX operator -> the function that says it in our primitives.

An importer takes the builder and the call and returns what the node makes. To add an operator, write the function in the file
of its family and add a row here; an operator that ONNX defines by others needs neither.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence

from ..builder import Builder
from ..operand import Call, Operand
from . import (
    convolution,
    elementwise,
    fused,
    gather,
    matrix,
    normalization,
    quantization,
    recurrent,
    reduction,
    resize,
    sampling,
    sequence,
    shape,
    signal,
    volume,
)

Importer = Callable[[Builder, Call], "Operand | Sequence[Operand | None]"]

_ROWS: list[tuple[Importer, str]] = [
    # element by element
    (elementwise.unary, "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor HardSwish IsNaN Log Mish Neg Not"),
    (elementwise.unary, "Reciprocal Round Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh"),
    (elementwise.activation, "Relu Elu Celu LeakyRelu Selu HardSigmoid ThresholdedRelu Swish Gelu Shrink IsInf"),
    (elementwise.binary, "Add Sub Mul Div Min Max And Or Xor Equal Less LessOrEqual"),
    (elementwise.greater, "Greater GreaterOrEqual"),
    (elementwise.total, "Sum Mean"),
    (elementwise.modulo, "Mod"),
    (elementwise.power, "Pow"),
    (elementwise.clip, "Clip"),
    (elementwise.prelu, "PRelu"),
    (elementwise.where, "Where"),
    (elementwise.cast, "Cast CastLike"),
    (elementwise.identity, "Identity"),
    (elementwise.dropout, "Dropout"),
    # convolution and pooling
    (volume.conv, "Conv"),
    (convolution.conv_transpose, "ConvTranspose"),
    (convolution.col2im, "Col2Im"),
    (convolution.pool, "MaxPool AveragePool"),
    (convolution.lp_pool, "LpPool"),
    (convolution.global_pool, "GlobalAveragePool GlobalMaxPool GlobalLpPool"),
    (convolution.lrn, "LRN"),
    # matrices
    (matrix.gemm, "Gemm"),
    (matrix.matmul, "MatMul"),
    (matrix.einsum, "Einsum"),
    (signal.dft, "DFT"),
    (signal.stft, "STFT"),
    # normalisation
    (normalization.batch_normalization, "BatchNormalization"),
    (normalization.instance_normalization, "InstanceNormalization"),
    (normalization.layer_normalization, "LayerNormalization RMSNormalization"),
    (normalization.group_normalization, "GroupNormalization"),
    (normalization.mean_variance_normalization, "MeanVarianceNormalization"),
    # along dimensions
    (reduction.reduce, "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum"),
    (reduction.reduce, "ReduceLogSumExp"),
    (reduction.arg_reduce, "ArgMax ArgMin"),
    (reduction.top_k, "TopK"),
    (reduction.cumsum, "CumSum"),
    (reduction.softmax, "Softmax LogSoftmax"),
    (reduction.hardmax, "Hardmax"),
    (reduction.lp_normalization, "LpNormalization"),
    # moving elements
    (shape.reshape, "Reshape"),
    (shape.flatten, "Flatten"),
    (shape.squeeze, "Squeeze"),
    (shape.unsqueeze, "Unsqueeze"),
    (shape.shape, "Shape"),
    (shape.size, "Size"),
    (shape.transpose, "Transpose"),
    (shape.expand, "Expand"),
    (shape.slice_, "Slice"),
    (shape.split, "Split"),
    (shape.concat, "Concat"),
    (shape.tile, "Tile"),
    (shape.pad, "Pad"),
    (shape.center_crop_pad, "CenterCropPad"),
    (shape.depth_to_space, "DepthToSpace"),
    (shape.space_to_depth, "SpaceToDepth"),
    (shape.constant_of_shape, "ConstantOfShape"),
    (shape.eye_like, "EyeLike"),
    (shape.trilu, "Trilu"),
    (shape.one_hot, "OneHot"),
    (shape.reverse_sequence, "ReverseSequence"),
    (gather.gather, "Gather"),
    (gather.gather_elements, "GatherElements"),
    (gather.gather_nd, "GatherND"),
    (gather.scatter_elements, "ScatterElements Scatter"),
    (gather.scatter_nd, "ScatterND"),
    (resize.resize, "Resize Upsample"),
    (sampling.grid_sample, "GridSample"),
    # sequences
    (sequence.construct, "SequenceConstruct SequenceEmpty"),
    (sequence.insert, "SequenceInsert"),
    (sequence.erase, "SequenceErase"),
    (sequence.at, "SequenceAt"),
    (sequence.length, "SequenceLength"),
    (sequence.join, "ConcatFromSequence"),
    (sequence.split, "SplitToSequence"),
    # memory and quantisation
    (recurrent.recurrent, "LSTM GRU RNN"),
    (quantization.dequantize, "DequantizeLinear"),
    (quantization.quantize, "QuantizeLinear"),
    (quantization.conv_integer, "ConvInteger"),
    (quantization.matmul_integer, "MatMulInteger"),
    (quantization.qlinear_conv, "QLinearConv"),
    (quantization.qlinear_matmul, "QLinearMatMul"),
]

# What onnxruntime's quantiser and optimiser write in its own domain.
_ONNXRUNTIME: list[tuple[Importer, str]] = [
    (quantization.dequantize, "DequantizeLinear"),
    (quantization.quantize, "QuantizeLinear"),
    (quantization.qgemm, "QGemm"),
    (quantization.qlinear, " ".join(f"QLinear{kind}" for kind in quantization.PLAIN)),
    (fused.conv, "FusedConv"),
    (fused.gemm, "FusedGemm"),
    (fused.matmul, "FusedMatMul"),
    (fused.gelu, "Gelu BiasGelu FastGelu QuickGelu"),
    (fused.skip_layer_normalization, "SkipLayerNormalization SkipSimplifiedLayerNormalization"),
]

# These take quantised integers too, without a scale of their own.
_MOVING = (
    "MaxPool Reshape Flatten Squeeze Unsqueeze Transpose Expand Slice Split Concat Tile DepthToSpace SpaceToDepth Gather Resize"
).split()

IMPORTERS: dict[tuple[str, str], Importer] = {
    (domain, name): quantization.moving(importer) if name in _MOVING else importer
    for domain, rows in (("", _ROWS), ("com.microsoft", _ONNXRUNTIME))
    for importer, names in rows
    for name in names.split()
}
