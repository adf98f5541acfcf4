"""Quantised tensors of the source model, computed in float32: at the values that their integers stand for, or as integers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..builder import Builder
from ..fold import spread
from ..operand import ELEMENTS, Call, Operand, Refusal, axis_of
from . import convolution, elementwise, matrix, reduction, shape

_LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def dequantize(b: Builder, call: Call) -> Operand:
    """(x - zero point) * scale."""
    x = call.input(0)
    scale, zero = _spread(b, call, x, call.input(1)), call.optional(2)
    y = b.cast(x, "int32")
    if zero is not None:
        y = b.binary("sub", y, b.cast(_spread(b, call, x, zero), "int32"))
    return b.binary("mul", b.cast(y, "float32"), b.cast(scale, "float32"))


def quantize(b: Builder, call: Call) -> Operand:
    """Round to even, add the zero point, saturate."""
    x = call.input(0)
    scale, zero = _spread(b, call, x, call.input(1)), call.optional(2)
    dtype = zero.dtype if zero is not None else ELEMENTS[call.attrs.get("output_dtype", 0) or 2]
    scaled = b.binary("div", b.cast(x, "float32"), b.cast(scale, "float32"))
    return _saturate(b, scaled, None if zero is None else _spread(b, call, x, zero), dtype)


def _saturate(b: Builder, scaled: Operand, zero: Operand | None, dtype: str) -> Operand:
    """Round to even, add the zero point, clamp to what the dtype holds."""
    if dtype not in _LIMITS:
        raise Refusal(f"no device has the dtype {dtype}", "quantise to int8 or uint8")
    y = b.unary("round", scaled)
    if zero is not None:
        y = b.binary("add", y, b.cast(zero, "float32"))
    whole = b.cast(b.unary("clamp", y, *_LIMITS[dtype]), "int32")
    return Operand(whole.shape, dtype, whole.name)


def _spread(b: Builder, call: Call, x: Operand, p: Operand) -> Operand:
    """Scale or zero point in a shape that broadcasts against x."""
    if p.data is not None:
        return b.constant(spread(p.data, x.shape, call.attrs), p.dtype)
    if p.size == 1:
        return b.reshape(p, ())
    if call.attrs.get("block_size", 0):
        raise Refusal("its blocks are scaled at run time", "", p)
    axis = axis_of(call.attrs.get("axis", 1), x.rank)
    return b.reshape(p, [p.size if d == axis else 1 for d in range(x.rank)])


def conv_integer(b: Builder, call: Call) -> Operand:
    """Sums of products of integers less their zero points, in float32: exact while they stay below 2^24."""
    return b.cast(_conv(b, call, 0, 1, 2, 3), "int32")


def matmul_integer(b: Builder, call: Call) -> Operand:
    """As `conv_integer`."""
    return b.cast(_matmul(b, call, 0, 1, 2, 3), "int32")


def qlinear_conv(b: Builder, call: Call) -> Operand:
    """A convolution of quantised tensors: its sums as in `conv_integer`, then rescaled and rounded once."""
    channels = (-1, *[1] * (call.input(0).rank - 2))
    return _rescale(b, call, _conv(b, call, 0, 3, 2, 5, bias=8), 6, channels)


def qlinear_matmul(b: Builder, call: Call) -> Operand:
    """As `qlinear_conv`."""
    return _rescale(b, call, _matmul(b, call, 0, 3, 2, 5), 6, (-1,))


def qgemm(b: Builder, call: Call) -> Operand:
    """onnxruntime's: as `qlinear_conv`; without a scale of the result that is float32."""
    columns = 0 if call.attrs.get("transB", 0) else 1
    inputs: list[Operand | None] = [_centred(b, call.input(0), call.optional(2))]
    inputs += [_centred(b, call.input(3), call.optional(5), columns)]
    inputs += [b.cast(call.input(6), "float32")] if call.optional(6) else []
    plain = {key: value for key, value in call.attrs.items() if key != "alpha"}
    sums = matrix.gemm(b, replace(call, inputs=inputs, attrs=plain))
    return _rescale(b, call, sums, 7, (-1,))


def qlinear(b: Builder, call: Call) -> Operand:
    """Another operator of onnxruntime on quantised tensors, each with scale and zero point: in float32, quantised again."""
    kind = call.op.removeprefix("QLinear")
    if call.attrs.get("channels_last", 0):
        raise Refusal("its channels come last", "export it with channels first")
    inputs, result = (call.inputs[2:], call.inputs[:2]) if kind == "Concat" else (call.inputs[:-2], call.inputs[-2:])
    numbers: list[Operand | None] = [
        dequantize(b, replace(call, inputs=inputs[i : i + 3], attrs={})) for i in range(0, len(inputs), 3)
    ]
    y = PLAIN[kind](b, replace(call, op=kind, domain="", opset=call.attrs.get("opset", 13), inputs=numbers))
    return quantize(b, replace(call, inputs=[y, *result], attrs={}))


def _conv(b: Builder, call: Call, x: int, w: int, zero_x: int, zero_w: int, bias: int = -1) -> Operand:
    """The sums of a convolution; the numbers say which input is which."""
    inputs = [_centred(b, call.input(x), call.optional(zero_x)), _centred(b, call.input(w), call.optional(zero_w), 0)]
    added = call.optional(bias) if bias >= 0 else None
    return convolution.conv(b, replace(call, inputs=[*inputs, *([b.cast(added, "float32")] if added else [])]))


def _matmul(b: Builder, call: Call, x: int, w: int, zero_x: int, zero_w: int) -> Operand:
    left, right = call.input(x), call.input(w)
    rows, columns = max(left.rank - 2, 0), right.rank - 1
    inputs: list[Operand | None] = [_centred(b, left, call.optional(zero_x), rows)]
    inputs += [_centred(b, right, call.optional(zero_w), columns)]
    return matrix.matmul(b, replace(call, inputs=inputs))


def _centred(b: Builder, x: Operand, zero: Operand | None, axis: int = 0) -> Operand:
    """x less its zero point, of which each place of a dimension may have its own, in float32."""
    wide = b.cast(x, "float32")
    if zero is None or (zero.data is not None and not zero.data.any()):
        return wide
    shape = () if zero.size == 1 else [zero.size if d == axis else 1 for d in range(x.rank)]
    less = b.reshape(b.cast(zero, "float32"), shape)
    if wide.data is not None and less.data is not None:
        return b.constant(wide.data - less.data)
    return b.binary("sub", wide, less)


def _rescale(b: Builder, call: Call, sums: Operand, result: int, spread: tuple[int, ...]) -> Operand:
    """Sums of products in the scale of the result, and quantised, where it has one.

    Args:
        result: which input is the scale of the result; the next is its zero point. Inputs 1 and 4 are those of the factors.
        spread: shape of scales that each channel has its own of.
    """
    scales = [call.input(1), call.input(4), *([call.input(result)] if call.optional(result) else [])]
    if any(scale.data is None for scale in scales):
        raise Refusal(
            "its scales are known only at run time", "quantise it statically", next(s for s in scales if s.data is None)
        )
    if scales[0].size > 1:
        raise Refusal("its rows have scales of their own", "quantise with one scale for all rows")
    x, w, *y = [np.asarray(scale.data, np.float32).reshape(-1) for scale in scales]
    factor = np.float32(call.attrs.get("alpha", 1.0)) * x * w / (y[0] if y else np.float32(1))
    scaled = b.binary("mul", sums, b.constant(factor.reshape(() if factor.size == 1 else spread)))
    zero = call.optional(result + 1)
    if not y:
        return scaled
    return _saturate(b, scaled, None if zero is None else b.reshape(zero, ()), "uint8" if zero is None else zero.dtype)


# What `qlinear` computes in float32.
PLAIN = {
    "Add": elementwise.binary,
    "Mul": elementwise.binary,
    "Sigmoid": elementwise.unary,
    "LeakyRelu": elementwise.activation,
    "AveragePool": convolution.pool,
    "GlobalAveragePool": convolution.global_pool,
    "Softmax": reduction.softmax,
    "Concat": shape.concat,
}
