"""Operators along dimensions: reductions, softmax, sorting, cumulative sums."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..operand import COMPUTE, FLOATS, Call, Operand, Refusal, axes_of, axis_of, scalar

_DIRECT = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod"}


def reduce(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axes = call.ints(1, "axes")
    if not axes and call.attrs.get("noop_with_empty_axes", 0):
        return _combined(b, call.op, x, [])
    dims = sorted(axes_of(axes or list(range(x.rank)), x.rank))
    kept = _combined(b, call.op, x, dims)
    if call.attrs.get("keepdims", 1):
        return kept
    return b.reshape(kept, [n for d, n in enumerate(x.shape) if d not in dims])


def _combined(b: Builder, op: str, x: Operand, dims: list[int]) -> Operand:
    """The reduction, reduced dimensions kept as 1."""
    if COMPUTE.get(x.dtype) != "float32":
        return _of_integers(b, op, x, dims)
    if op in _DIRECT:
        return b.reduce(_DIRECT[op], x, dims)
    if op == "ReduceL1":
        return b.reduce("sum", b.unary("abs", x), dims)
    if op in ("ReduceL2", "ReduceSumSquare"):
        y = b.reduce("sum", b.binary("mul", x, x), dims)
        return b.unary("sqrt", y) if op == "ReduceL2" else y
    if op == "ReduceLogSum":
        return b.unary("log", b.reduce("sum", x, dims))
    assert op == "ReduceLogSumExp"
    top = b.unary("clamp", b.reduce("max", x, dims), -3e38, 3e38)  # finite, so that inf - inf does not arise
    return b.binary("add", b.unary("log", b.reduce("sum", b.unary("exp", b.binary("sub", x, top)), dims)), top)


def _of_integers(b: Builder, op: str, x: Operand, dims: list[int]) -> Operand:
    if x.raw:
        b.value(x)
    whole = Operand(x.shape, "int32", x.name, x.data) if x.dtype != "bool" else b.cast(x, "int32")
    if op in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
        y = b.reduce(_DIRECT[op], whole, dims)
    elif op == "ReduceSumSquare":
        y = b.reduce("sum", b.binary("mul", whole, whole), dims)
    else:
        return b.cast(_combined(b, op, b.cast(x, "float32"), dims), x.dtype)
    return b.cast(y, x.dtype)


def arg_reduce(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    sizes = [1 if d == axis else n for d, n in enumerate(x.shape)]
    attrs = {"axis": axis, "least": int(call.op == "ArgMin"), "last": int(call.attrs.get("select_last_index", 0))}
    y = b.emit("arg_reduce", [b.cast(x, "float32")], sizes, "int64", attrs)
    return y if call.attrs.get("keepdims", 1) else b.reshape(y, [n for d, n in enumerate(x.shape) if d != axis])


def top_k(b: Builder, call: Call) -> list[Operand]:
    x = call.input(0)
    axis = axis_of(call.attrs.get("axis", -1), x.rank)
    k = int(call.number(1, "k", 1, "number of elements"))
    if not 0 < k <= x.shape[axis]:
        raise ValueError(f"{k} of {x.shape[axis]} elements cannot be chosen")
    sizes = tuple(k if d == axis else n for d, n in enumerate(x.shape))
    attrs = {"axis": axis, "smallest": int(not call.attrs.get("largest", 1))}
    values, indices = b.emit_many("topk", [b.cast(x, "float32")], [(sizes, "float32"), (sizes, "int64")], attrs)
    return [b.cast(values, x.dtype), indices]


def cumsum(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axis = axis_of(int(scalar(call.array(1, "axis"))), x.rank)
    attrs = {"axis": axis, "exclusive": call.attrs.get("exclusive", 0), "reverse": call.attrs.get("reverse", 0)}
    return b.wrap(b.emit("cumsum", [x], x.shape, x.dtype, attrs))


def softmax(b: Builder, call: Call) -> Operand:
    """Before opset 13 over all dimensions from `axis` on, taken together."""
    x = call.input(0)
    log = call.op == "LogSoftmax"
    if call.opset >= 13:
        return b.softmax(x, axis_of(call.attrs.get("axis", -1), x.rank), log)
    return b.reshape(b.softmax(_flat(b, call, x), 1, log), x.shape)


def _flat(b: Builder, call: Call, x: Operand) -> Operand:
    axis = call.attrs.get("axis", 1)
    axis = axis if axis == x.rank else axis_of(axis, x.rank)
    return b.reshape(x, (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


def hardmax(b: Builder, call: Call) -> Operand:
    """1 at the first of the largest, 0 elsewhere."""
    x = call.input(0)
    flat = x if call.opset >= 13 else _flat(b, call, x)
    axis = axis_of(call.attrs.get("axis", -1), x.rank) if call.opset >= 13 else 1
    sizes = [1 if d == axis else n for d, n in enumerate(flat.shape)]
    best = b.emit("arg_reduce", [flat], sizes, "int32", {"axis": axis, "least": 0, "last": 0})
    steps = np.arange(flat.shape[axis], dtype=np.int32).reshape([-1 if d == axis else 1 for d in range(flat.rank)])
    return b.reshape(b.cast(b.binary("equal", best, b.constant(steps)), x.dtype), x.shape)


def lp_normalization(b: Builder, call: Call) -> Operand:
    """x over its norm; 0 where the norm is 0."""
    x = call.input(0)
    axis = axis_of(call.attrs.get("axis", -1), x.rank)
    p = call.attrs.get("p", 2)
    if p not in (1, 2) or x.dtype not in FLOATS:
        raise Refusal(f"the norm of order {p} is not defined by ONNX", "use 1 or 2")
    norm = _combined(b, f"ReduceL{p}", x, [axis])
    safe = b.where(b.scalar("equal", norm, 0), b.constant(np.float32(1)), norm)
    return b.binary("div", x, safe)
