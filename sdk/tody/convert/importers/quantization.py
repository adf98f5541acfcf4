"""Quantised tensors of the source model.

8 bits with one known scale become pairs of casts (graph.py), and so do operators on integers that stand for real numbers.
The rest is computed in float32, at the values that the integers stand for, or as integers.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .. import casts
from ..builder import Builder
from ..fold import dequantized, spread
from ..graph import Quant, Value
from ..operand import ELEMENTS, Call, Operand, Refusal, axis_of
from . import convolution, elementwise, matrix, reduction, shape

_LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def dequantize(b: Builder, call: Call) -> Operand:
    """(x - zero point) * scale."""
    x = call.input(0)
    if x.data is not None and all(p is None or p.data is not None for p in call.inputs):
        return dequantized(call)
    quant = _quant(x.dtype, call.input(1), call.optional(2))
    if quant is not None:
        return b.dequantise(_integers(b, x, quant))
    scale, zero = _spread(b, call, x, call.input(1)), call.optional(2)
    y = b.cast(x, "int32")
    if zero is not None:
        y = b.binary("sub", y, b.cast(_spread(b, call, x, zero), "int32"))
    return b.binary("mul", b.cast(y, "float32"), b.cast(scale, "float32"))


def quantize(b: Builder, call: Call) -> Operand:
    """Round to even, add the zero point, saturate."""
    x = call.input(0)
    zero = call.optional(2)
    dtype = zero.dtype if zero is not None else ELEMENTS[call.attrs.get("output_dtype", 0) or 2]
    quant = _quant(dtype, call.input(1), zero)
    if quant is not None:
        return Operand(x.shape, dtype, raw=b.quantise(b.cast(x, "float32"), quant).name)
    scale = _spread(b, call, x, call.input(1))
    scaled = b.binary("div", b.cast(x, "float32"), b.cast(scale, "float32"))
    return _saturate(b, scaled, None if zero is None else _spread(b, call, x, zero), dtype)


def _quant(dtype: str, scale: Operand, zero: Operand | None) -> Quant | None:
    """What the integers of 8 bits stand for, those of uint8 less 128; None if that is not one known scale."""
    known = scale.data is not None and scale.size == 1 and (zero is None or zero.data is not None)
    if dtype not in ("int8", "uint8") or not known:
        return None
    number = float(np.float32(np.asarray(scale.data).reshape(())))
    offset = 0 if zero is None else int(np.asarray(zero.data).reshape(-1)[0])
    offset -= casts.SHIFT if dtype == "uint8" else 0
    return Quant((number,), offset) if 0 < number < np.inf and -128 <= offset <= 127 else None


def _integers(b: Builder, x: Operand, quant: Quant) -> Operand:
    """The int8 value of an int8 or uint8 operand whose integers stand for what `quant` says."""
    held = b.graph.values.get(x.raw)
    if held is not None and held.dtype == "int8":
        if held.quant is None and not any(x.raw in node.inputs for node in b.graph.nodes):
            held.quant = quant  # an input of the graph, of which nothing was known
        name = x.raw if held.quant == quant else b.relabel(x.raw, quant)
        return Operand(x.shape, "int8", name)
    if x.dtype == "uint8":
        return casts.from_uint8(b, x, quant)
    low = b.fresh(b.hint)
    b.graph.values[low] = Value(low, x.shape, "int8")
    b.append("cast", [b.value(x)], [low])
    return Operand(x.shape, "int8", b.relabel(low, quant))


def moving(importer: Callable[[Builder, Call], Operand | Sequence[Operand | None]]) -> Callable[..., list[Operand | None]]:
    """The importer of an operator that moves or chooses elements, for quantised integers too: it moves what they stand for."""

    def wrapped(b: Builder, call: Call) -> list[Operand | None]:
        held = b.graph.values.get(call.input(0).raw)
        dtype, quant = call.input(0).dtype, None
        if held is not None and held.dtype == "int8":
            quant = held.quant or Quant((1.0,))
        if quant is None:
            made = importer(b, call)
            return [made] if isinstance(made, Operand) else list(made)
        inputs = [
            b.dequantise(_integers(b, x, quant)) if x is not None and x.dtype == dtype and x.data is None else x
            for x in call.inputs
        ]
        made = importer(b, replace(call, inputs=inputs))
        results = [made] if isinstance(made, Operand) else list(made)
        return [None if y is None else Operand(y.shape, dtype, raw=b.quantise(y, quant).name) for y in results]

    return wrapped


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
    inputs: list[Operand | None] = [
        _centred(b, call.input(0), call.optional(2)),
        _centred(b, call.input(1), call.optional(3), 0),
    ]
    return b.cast(convolution.conv(b, replace(call, inputs=inputs)), "int32")


def matmul_integer(b: Builder, call: Call) -> Operand:
    """As `conv_integer`."""
    left, right = call.input(0), call.input(1)
    rows, columns = max(left.rank - 2, 0), right.rank - 1
    inputs: list[Operand | None] = [_centred(b, left, call.optional(2), rows), _centred(b, right, call.optional(3), columns)]
    return b.cast(matrix.matmul(b, replace(call, inputs=inputs)), "int32")


def qlinear_conv(b: Builder, call: Call) -> Operand:
    """A convolution of quantised tensors."""
    bias = _bias(b, call, 8)
    inputs: list[Operand | None] = [_real(b, call, 0), _real(b, call, 3, 0), *([bias] if bias else [])]
    y = convolution.conv(b, replace(call, inputs=inputs))
    return quantize(b, replace(call, inputs=[y, *call.inputs[6:8]], attrs={}))


def qlinear_matmul(b: Builder, call: Call) -> Operand:
    """A product of quantised matrices."""
    inputs: list[Operand | None] = [_real(b, call, 0), _real(b, call, 3, call.input(3).rank - 1)]
    y = matrix.matmul(b, replace(call, inputs=inputs))
    return quantize(b, replace(call, inputs=[y, *call.inputs[6:8]], attrs={}))


def qgemm(b: Builder, call: Call) -> Operand:
    """onnxruntime's: as `qlinear_matmul`; without a scale of the result that is float32."""
    columns = 0 if call.attrs.get("transB", 0) else 1
    bias = _bias(b, call, 6)
    inputs: list[Operand | None] = [_real(b, call, 0), _real(b, call, 3, columns), *([bias] if bias else [])]
    alpha = call.attrs.get("alpha", 1.0)
    y = matrix.gemm(b, replace(call, inputs=inputs, attrs={**call.attrs, "beta": alpha}))
    return quantize(b, replace(call, inputs=[y, *call.inputs[7:9]], attrs={})) if call.optional(7) else y


def qlinear(b: Builder, call: Call) -> Operand:
    """Another operator of onnxruntime on quantised tensors, each with scale and zero point."""
    kind = call.op.removeprefix("QLinear")
    if call.attrs.get("channels_last", 0):
        raise Refusal("its channels come last", "export it with channels first")
    inputs, result = (call.inputs[2:], call.inputs[:2]) if kind == "Concat" else (call.inputs[:-2], call.inputs[-2:])
    numbers: list[Operand | None] = [
        dequantize(b, replace(call, inputs=inputs[i : i + 3], attrs={})) for i in range(0, len(inputs), 3)
    ]
    y = PLAIN[kind](b, replace(call, op=kind, domain="", opset=call.attrs.get("opset", 13), inputs=numbers))
    return quantize(b, replace(call, inputs=[y, *result], attrs={}))


def _real(b: Builder, call: Call, at: int, axis: int = 0) -> Operand:
    """What a quantised input stands for; its scale and zero point are the next two inputs, one number or one per index."""
    if at == 0 and call.input(1).size > 1:
        raise Refusal("its rows have scales of their own", "quantise with one scale for all rows")
    return dequantize(b, replace(call, inputs=call.inputs[at : at + 3], attrs={"axis": axis}))


def _bias(b: Builder, call: Call, at: int) -> Operand | None:
    """A bias of int32, whose scale is that of the products; the scales of the factors are inputs 1 and 4."""
    bias, scales = call.optional(at), (call.input(1), call.input(4))
    if bias is None:
        return None
    if bias.data is None or any(scale.data is None for scale in scales):
        unknown = next(p for p in (bias, *scales) if p.data is None)
        raise Refusal("its bias or a scale is known only at run time", "quantise it statically", unknown)
    unit = np.multiply(*(np.asarray(scale.data, np.float64).reshape(-1) for scale in scales))
    return b.constant((np.asarray(bias.data, np.float64) * unit).astype(np.float32))


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


# What `qlinear` computes between casts.
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
