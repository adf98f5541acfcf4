"""Matrix products, and the weights of every operator that has some."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...builder import Builder
from ...graph import Quant
from ...operand import Array, Operand, Refusal
from ..call import TfliteCall, distances
from ..file import Tensor
from .elementwise import activated

_MOST = 127  # of a weight, either way


def weights(
    b: Builder, call: TfliteCall, index: int, axis: int, arrange: Callable[[Array], Array], pack: str = "panels"
) -> Operand:
    """The weights of a call in the arrangement of a primitive: integers behind a cast where they are quantised.

    Args:
        axis: the dimension of the output channels, of which each may have a scale of its own.
        arrange: keeps the order of the output channels.
    """
    data, tensor = call.array(index, "weights"), call.tensor(index)
    key = (call.op, call.input(0).shape[-1])
    if tensor is None or tensor.data is None or tensor.scale is None or tensor.dtype not in ("int8", "uint8"):
        return b.weights(data, key, arrange, pack)
    if tensor.scale.scales.size > 1 and tensor.scale.axis != axis:
        b.graph.notes.append(f"{call.name}: its weights are quantised along another dimension, so it computes in float32")
        return b.weights(data, key, arrange, pack)
    integers, scales, is_rounded = _symmetric(tensor, axis)
    if is_rounded:
        b.graph.notes.append(f"{call.name}: its weights have a zero point, without which some take more than 8 bits: rounded")
    return b.quantised(arrange(integers), Quant(tuple(scales.tolist())), pack)


def _symmetric(tensor: Tensor, axis: int) -> tuple[Array, Array, bool]:
    """Integers and scales of weights without a zero point, and whether that had to round.

    A channel that reaches further than 127 from its zero point gets a coarser scale.
    """
    assert tensor.scale is not None
    whole, scales = distances(tensor), tensor.scale.scales.astype(np.float64)
    if whole.min(initial=0) >= -128 and whole.max(initial=0) <= _MOST:
        return whole.astype(np.int8), tensor.scale.scales, False
    rest = tuple(d for d in range(whole.ndim) if d != axis)
    reach = np.abs(whole).max(rest)
    coarser = np.maximum(1.0, reach / _MOST)
    shape = [-1 if d == axis else 1 for d in range(whole.ndim)]
    rounded = np.rint(whole / coarser.reshape(shape)).astype(np.int8)
    return rounded, (scales * coarser).astype(np.float32), True


def bias(b: Builder, call: TfliteCall, index: int, shape: tuple[int, ...], pack: str = "panels") -> Operand | None:
    """The bias of a call, None if it has none. The integers of a quantised one count in units of input times weight."""
    if call.optional(index) is None:
        return None
    data, tensor, x, w = call.array(index, "bias"), call.tensor(index), call.tensor(index - 2), call.tensor(index - 1)
    integers = tensor.data if tensor is not None and tensor.dtype in ("int32", "int64") else None
    if integers is not None and x is not None and w is not None and x.scale is not None and w.scale is not None:
        data = (integers * (x.scale.scales.astype(np.float64) * w.scale.scales)).astype(np.float32)
    return b.weights(data, ("bias", shape, pack), lambda v: v.reshape(shape), pack)


def fully_connected(b: Builder, call: TfliteCall) -> Operand:
    """x [.., K] by weights [N, K]; without `keep_num_dims` all of x is rows of K."""
    x, w = call.input(0), call.input(1)
    if call.attrs["weights_format"]:
        raise Refusal("its weights are shuffled", "convert the model without shuffled weights")
    columns, depth = w.shape
    if x.size % depth or (call.attrs["keep_num_dims"] and x.shape[-1] != depth):
        raise ValueError(f"{list(x.shape)} does not go together with weights {list(w.shape)}")
    rows = x if call.attrs["keep_num_dims"] else b.reshape(x, (x.size // depth, depth))
    if w.data is None:
        y = b.matmul(b.reshape(rows, (rows.size // depth, depth)), w, transpose_b=True)
        y = b.reshape(y, (*rows.shape[:-1], columns))
        y = b.binary("add", y, call.input(2)) if call.optional(2) is not None else y
    else:
        panels = weights(b, call, 1, 0, lambda w: w[None, :, None, :])
        y = b.dense(rows, panels, bias(b, call, 2, (1, columns)), columns)
    return activated(b, y, call)


def batch_matmul(b: Builder, call: TfliteCall) -> Operand:
    x, y = call.input(0), call.input(1)
    flip = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    x = b.transpose(x, flip) if call.attrs["adj_x"] else x
    rank = max(x.rank, y.rank)
    return b.matmul(b.lift(x, rank), b.lift(y, rank), bool(call.attrs["adj_y"]))
