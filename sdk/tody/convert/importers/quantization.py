"""Quantised tensors of the source model, computed in float32 at the values that their integers stand for."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..builder import Builder
from ..fold import spread
from ..operand import ELEMENTS, Call, Operand, Refusal, axis_of

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
    if dtype not in _LIMITS:
        raise Refusal(f"no device has the dtype {dtype}", "quantise to int8 or uint8")
    y = b.unary("round", b.binary("div", b.cast(x, "float32"), b.cast(scale, "float32")))
    if zero is not None:
        y = b.binary("add", y, b.cast(_spread(b, call, x, zero), "float32"))
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
