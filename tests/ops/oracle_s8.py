"""What every operator of int8 and int16 means, to the bit: docs/format.md, "int8, to the bit", in NumPy integers and float32.

`run(op, inputs, params, y_zero)` takes stored integers with their zero points and returns the stored integers of the result.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
from numpy.typing import NDArray

Array = NDArray[Any]
Params = dict[str, Any]


@dataclass
class Input:
    """Integers (int64) with their zero point, or multipliers (float32)."""

    data: Array
    zero: int = 0

    @property
    def centred(self) -> Array:
        return self.data - self.zero


Inputs = list[Any]  # of Input or None


def fl(x: Array) -> Array:
    """An integer as float32. It must be exact, or an int32."""
    assert (abs(x) < 2**31).all()
    return x.astype(np.float32)


def finish(p: Array, params: Params, y_zero: int) -> Array:
    name, lo, hi = params.get("activation", ("none", 0, 0))
    dtype = np.dtype(params.get("dtype", "int8"))
    low, high = (lo, hi) if name == "clamp" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert p.dtype == np.float32
    held = np.minimum(np.maximum(p, np.float32(low - y_zero)), np.float32(high - y_zero))
    return (np.rint(held).astype(np.int64) + y_zero).astype(dtype)


def part(x: Input, m: Any) -> Array:
    return fl(x.centred) * np.float32(m)


def _layer(op: str, inputs: Inputs, params: Params, y_zero: int) -> Array:
    """conv, dwconv, deconv, dense: the sum by the other oracle, which is exact on integers."""
    takes_addend = op != "deconv"
    x, w, bias = inputs[:3]
    addend = inputs[3] if takes_addend else None
    m = inputs[3 + takes_addend].data.reshape(-1)
    sums = [x.centred, w.data, None if bias is None else bias.data, *([None] if takes_addend else [])]
    total = oracle.run(op, sums, {**params, "activation": ("none", 0.0, 0.0)})[0].astype(np.int64)
    count = total.shape[-1]
    p, slopes = fl(oracle.wrap(total)) * m[:count], m[count:]
    if addend is not None:
        m2 = inputs[5].data
        if len(m2) == 3:  # the product is rounded first: to int8, whose zero point does not matter behind its limits
            p = np.rint(np.clip(p, m2[2] - 256, m2[2] - 1)) * m2[1]
        p = p + part(addend, m2[0])
    if len(slopes):
        p = np.where(p < 0, p * slopes, p)
    return finish(p, params, y_zero)


def matmul(inputs: Inputs, params: Params, y_zero: int) -> Array:
    a, b, m = inputs
    return finish(fl(oracle.matmul([a.centred, b.centred], params)[0]) * m.data[0], params, y_zero)


def pool(inputs: Inputs, params: Params, y_zero: int) -> Array:
    x = inputs[0]
    if params["kind"] == "max":
        dtype = np.dtype(params.get("dtype", "int8"))
        return np.maximum(oracle.pool([x.data.astype(np.float64)], params)[0], np.iinfo(dtype).min).astype(dtype)
    ones = oracle._pad_image(np.ones_like(x.data), params, params.get("include_pad", 0))
    count = oracle._windows(oracle._reach(ones, params, 0), params).sum(axis=3)
    total = oracle._windows(oracle._reach(oracle._pad_image(x.centred, params, 0), params, 0), params).sum(axis=3)
    return finish(fl(total) * inputs[1].data[np.maximum(count - 1, 0)], params, y_zero)


def reduce(inputs: Inputs, params: Params, y_zero: int) -> Array:
    if params["fn"] == "mean":
        total = oracle.reduce([inputs[0].centred], {**params, "fn": "sum"})[0]
        return finish(fl(total) * inputs[1].data[0], params, y_zero)
    return oracle.reduce([inputs[0].data], params)[0].astype(np.int8)


def binary(inputs: Inputs, params: Params, y_zero: int) -> Array:
    a, b = inputs[:2]
    if params["fn"] in ("min", "max"):
        return oracle.BINARY[params["fn"]](a.data, b.data).astype(np.int8)
    m = inputs[2].data
    if params["fn"] == "mul":
        return finish(fl(a.centred * b.centred) * m[0], params, y_zero)
    p, q = part(a, m[0]), part(b, m[1])
    return finish(p + q if params["fn"] == "add" else p - q, params, y_zero)


def cast(inputs: Inputs, params: Params, y_zero: int) -> Array:
    return finish(part(inputs[0], inputs[1].data[0]), params, y_zero)


def resize(inputs: Inputs, params: Params, y_zero: int) -> Array:
    """All four sums at once. One tap a side has weight 1, and so gives the element."""
    x, rows, row_weights, columns, column_weights = inputs
    taken = x.centred[:, rows.data][:, :, :, columns.data]  # [N, OH, KH, OW, KW, C]
    total = oracle.wrap(np.einsum("nokplc,ok,pl->nopc", taken, row_weights.data, column_weights.data) + 2**21)
    return np.clip((total >> 22) + x.zero, -128, 127).astype(np.int8)


LAYERS = ("conv", "dwconv", "deconv", "dense")
OPERATORS: dict[str, Callable[[Inputs, Params, int], Array]] = {
    f.__name__: f for f in (matmul, pool, reduce, binary, cast, resize)
}


def run(op: str, inputs: Inputs, params: Params, y_zero: int) -> Array:
    """The stored integers of the result."""
    return _layer(op, inputs, params, y_zero) if op in LAYERS else OPERATORS[op](inputs, params, y_zero)
