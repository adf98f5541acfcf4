"""Operators along dimensions: reductions, softmax, sorting, norms, cumulative sums."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...operand import Operand
from ..call import TfliteCall, onnx
from .elementwise import activated

_REDUCE = {
    "MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd", "REDUCE_ANY": "ReduceMax", "REDUCE_ALL": "ReduceMin",
}  # fmt: skip
_L2_FLOOR = 1e-6  # of a norm that is divided by


def reduce(b: Builder, call: TfliteCall) -> Operand:
    x, axes = call.input(0), b.constant(np.asarray(call.sizes(1, "axes"), np.int64))
    if not axes.size:
        return x
    if x.data is not None and call.op == "REDUCE_PROD":  # of shapes
        return b.constant(x.data.prod(tuple(call.sizes(1, "axes")), x.data.dtype, keepdims=call.attrs["keep_dims"]))
    return onnx(b, call, _REDUCE[call.op], [x, axes], keepdims=int(call.attrs["keep_dims"]))


def reduce_bool(b: Builder, call: TfliteCall) -> Operand:
    """Any is the largest, all the smallest."""
    axes = b.constant(np.asarray(call.sizes(1, "axes"), np.int64))
    y = onnx(b, call, _REDUCE[call.op], [b.cast(call.input(0), "int32"), axes], keepdims=int(call.attrs["keep_dims"]))
    return b.cast(y, "bool")


def arg_reduce(b: Builder, call: TfliteCall) -> Operand:
    (axis,) = call.sizes(1, "axis")
    return onnx(b, call, "ArgMax" if call.op == "ARG_MAX" else "ArgMin", [call.input(0)], axis=axis, keepdims=0)


def top_k(b: Builder, call: TfliteCall) -> list[Operand]:
    x, (count,) = call.input(0), call.sizes(1, "number of elements")
    if not 0 < count <= x.shape[-1]:
        raise ValueError(f"{count} of {x.shape[-1]} elements cannot be chosen")
    shape = (*x.shape[:-1], count)
    attrs = {"axis": x.rank - 1, "smallest": 0}
    return b.emit_many("topk", [x], [(shape, x.dtype), (shape, "int32")], attrs)


def cumsum(b: Builder, call: TfliteCall) -> Operand:
    attrs = {name: int(call.attrs[name]) for name in ("exclusive", "reverse")}
    return onnx(b, call, "CumSum", [call.input(0), call.input(1)], **attrs)


def softmax(b: Builder, call: TfliteCall) -> Operand:
    x, beta = call.input(0), call.attrs.get("beta", 1.0)
    x = x if beta == 1.0 else b.scalar("mul", x, beta)
    return b.softmax(x, x.rank - 1, log=call.op == "LOG_SOFTMAX")


def l2_normalization(b: Builder, call: TfliteCall) -> Operand:
    """x over its norm along the last dimension."""
    x = call.input(0)
    norm = b.unary("sqrt", b.reduce("sum", b.binary("mul", x, x), [x.rank - 1]))
    return activated(b, b.binary("div", x, b.scalar("max", norm, _L2_FLOOR)), call)


def local_response_normalization(b: Builder, call: TfliteCall) -> Operand:
    """As ONNX, over channels in the second dimension, with alpha spread over the window."""
    x, options = call.input(0), call.attrs
    size = 2 * options["radius"] + 1
    attrs = {"size": size, "alpha": options["alpha"] * size, "beta": options["beta"], "bias": options["bias"]}
    return b.nhwc(onnx(b, call, "LRN", [b.nchw(x)], **attrs))
