"""Matrix products, and the weights of every operator that has some."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...builder import Builder
from ...operand import Array, Operand, Refusal, Steps
from ..call import TfliteCall
from ..rounding import weight_scales
from .elementwise import activated


def weights(b: Builder, call: TfliteCall, index: int, arrange: Callable[[Array], Array], pack: str = "panels") -> Operand:
    """The weights of a call as its primitive has them. `arrange` moves elements, and keeps the order of output channels."""
    w, steps = call.array(index, "weights"), call.input(index).steps
    x, y = call.tensor(3 - index if call.op == "TRANSPOSE_CONV" else 0), call.results[0]
    kind: tuple[object, ...] = (call.op, call.input(0).shape[-1])
    if steps is not None and x is not None and x.scale is not None and y.scale is not None:
        units = float(x.scale.scales[0]), float(y.scale.scales[0])
        steps, kind = Steps(steps.integers, weight_scales(steps.scales, *units)), (*kind, *units)
    return b.weights(w, kind, arrange, pack, steps)


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
        panels = weights(b, call, 1, lambda w: w[None, :, None, :])
        y = b.dense(rows, panels, bias(b, call, 2, (1, columns)), columns)
    return activated(b, y, call)


def batch_matmul(b: Builder, call: TfliteCall) -> Operand:
    x, y = call.input(0), call.input(1)
    flip = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    x = b.transpose(x, flip) if call.attrs["adj_x"] else x
    rank = max(x.rank, y.rank)
    return b.matmul(b.lift(x, rank), b.lift(y, rank), bool(call.attrs["adj_y"]))
