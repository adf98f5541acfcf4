"""Channels of int8 layers that do nothing leave: what is the same for every input, and what meets no weight but zero.

Training with weight decay leaves such channels behind, as does rounding small weights to integers; of a MobileNet they can be
most. A channel that always has the same value adds the same to every sum that takes it: that goes into the bias. The rest is as
in pruning (ties.py, removal.py), but to the bit: sums of integers stay what they were.

A channel is always the same if the least and the largest value that it could have, by interval arithmetic over the integers of
the layers before it, end as the same integer: no weights at all, or a bias so low that a clamp leaves nothing of it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import MULTIPLIERS
from .graph import Graph, Node, Quant, Value
from .removal import NotAViewError, remove
from .rewrite import add_constant, first_input, first_output, slot
from .slopes import slopes_behind
from .ties import HELD, MAKERS, Channels, Ints

Bounds = NDArray[np.float64]  # the least and the largest integer of each channel, [2, C]

UNIT = 8  # channels stay by multiples of it, because kernels take so many at a time
_PLAIN = ("none", 0.0, 0.0)


def drop_idle_channels(graph: Graph) -> None:
    """Remove channels from a graph of integers whose results do not depend on them, to the bit. Changes it in place."""
    _fold(graph)
    used = [_used(graph, node) for node in graph.nodes if node.op in MAKERS and _is_integer(graph, node)]
    if not any(math.ceil(taken.sum() / UNIT) * UNIT < len(taken) for taken in used):
        return  # to follow channels through the graph takes long
    channels = Channels(graph)
    before = sum(graph.values[name].shape[-1] for name in channels.made)
    while len(gone := _idle(channels)):
        try:
            smaller = remove(channels, gone)
        except NotAViewError as e:
            channels.hold(e.name, f"copy {e.name} cannot leave them out")
            continue
        graph.nodes, graph.values = smaller.nodes, smaller.values
        left = sum(graph.values[name].shape[-1] for name in channels.made if name in graph.values)
        graph.notes.append(f"{before - left} of {before} channels are left out, because the result does not depend on them")
        break


def _is_integer(graph: Graph, node: Node) -> bool:
    """Whether a layer computes in integers, with constant ones for weights."""
    x, weights = graph.values[first_input(node)], graph.values[node.inputs[1] or ""]
    return x.quant is not None and weights.data is not None and weights.dtype == x.dtype


def _used(graph: Graph, node: Node) -> NDArray[np.bool_]:
    """Which input channels of a layer meet a weight."""
    return np.asarray((_data(graph, node, 1) != 0).any((1, 2)).reshape(-1))


def _fold(graph: Graph) -> None:
    """What channels that are always the same add to sums goes into biases."""
    known: dict[str, Bounds] = {}
    for node in graph.nodes:
        y = graph.values[node.outputs[0] or ""] if node.outputs[0] else None
        if y is None or y.quant is None or not node.inputs or graph.values[first_input(node)].quant is None:
            continue
        if node.op in (*MAKERS, "dwconv") and _is_integer(graph, node):
            known[y.name] = _fold_layer(graph, node, y, _bounds(known, graph.values[first_input(node)]))
        elif node.op in _FUNCTIONS:
            inputs = [graph.values[name] for name in node.inputs if name is not None]
            known[y.name] = _FUNCTIONS[node.op](graph, node, y, [_bounds(known, x) for x in inputs if x.quant])


def _bounds(known: dict[str, Bounds], x: Value) -> Bounds:
    assert x.quant is not None
    every = np.array(x.quant.limits, np.float64)[:, None]
    return known.get(x.name, np.repeat(every, x.shape[-1] if x.shape else 1, axis=1))


def _fold_layer(graph: Graph, node: Node, y: Value, bounds: Bounds) -> Bounds:
    """Take constant channels out of a layer's weights. Returns the bounds of its results."""
    x = graph.values[first_input(node)]
    assert x.quant is not None and y.quant is not None
    deep, plain = node.op == "dwconv", _data(graph, node, 1)
    weights = plain.T[:, None, :, None] if deep else plain  # groups, columns, taps, depth
    low, high = (bounds - x.quant.zero_point).astype(np.int64).reshape(2, len(weights), -1)
    partial = node.op == "deconv" or any(node.attrs.get("pad", ()))  # some results miss some taps
    folds = (low == high) & ((low == 0) | (not partial))
    added = _sums(weights, np.where(folds, low, 0))
    left = weights * ~folds[:, None, None]
    start = added + (0 if slot(node, 2) is None else _data(graph, node, 2).reshape(-1))
    if (left != weights).any():
        _set(graph, node, 1, left[:, 0, :, 0].T if deep else left)
        if added.any():
            _set(graph, node, 2, start.astype(np.int32).reshape(-1 if deep else weights.shape[:2]))
    if node.op != "deconv" and slot(node, 3) is not None:
        return _bounds({}, y)
    low, high = (np.minimum(low, 0), np.maximum(high, 0)) if partial else (low, high)
    more, less = np.maximum(left, 0), np.minimum(left, 0)
    ends = np.stack([_sums(more, low) + _sums(less, high), _sums(more, high) + _sums(less, low)])
    m = _data(graph, node, MULTIPLIERS[node.op]).reshape(-1)[: y.shape[-1]]
    return _finish(_wrapped(start + ends), m, y.quant, node.attrs.get("activation", _PLAIN), slopes_behind(graph, node))


def _wrapped(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds of sums that are modulo 2^32: where they leave these, a sum can be anything."""
    least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    leaves = (sums[0] < least) | (sums[1] > most)
    return np.where(leaves, [[least], [most]], sums)


def _sums(weights: NDArray[Any], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """What a value of each input channel [G,K] comes to in each output channel."""
    return np.asarray(np.einsum("gntk,gk->gn", weights, x)).reshape(-1)


def _data(graph: Graph, node: Node, i: int) -> NDArray[Any]:
    data = graph.values[node.inputs[i] or ""].data
    assert data is not None
    return data


def _set(graph: Graph, node: Node, i: int, data: NDArray[Any]) -> None:
    """Give a node another constant; where there was none it is packed like the weights."""
    old = graph.values[node.inputs[i] or node.inputs[1] or ""]
    quant = old.quant if node.inputs[i] else None
    node.inputs[i] = add_constant(graph, f"{first_output(node)}:folded", data, old.pack, quant)


def _finish(
    sums: Any, m: Any, y: Quant, activation: tuple[str, float, float] = _PLAIN, slopes: NDArray[np.float32] | None = None
) -> Bounds:
    """What a layer makes of bounds of its sums (docs/format.md)."""
    low, high = activation[1:] if activation[0] == "clamp" else y.limits
    p = np.asarray(sums).astype(np.float32) * np.asarray(m, np.float32)
    if slopes is not None:  # of a negative one, what is nearest to 0 may be an end
        p = np.stack([*p, np.clip(np.float32(0), p[0], p[1])])
        p = np.where(p < 0, p * slopes, p)
        p = np.stack([p.min(0), p.max(0)])
    return np.asarray(np.rint(np.clip(p, low - y.zero_point, high - y.zero_point)).astype(np.float64) + y.zero_point)


def _concat(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    return np.concatenate(bounds, 1) if node.attrs["axis"] == len(y.shape) - 1 else _bounds({}, y)


def _lut(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    table = _data(graph, node, 1).astype(np.float64)
    found = [table[int(low) + 128 : int(high) + 129] for low, high in bounds[0].T]
    return np.array([[part.min() for part in found], [part.max() for part in found]])


def _pool(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    """Of windows that are all within the image."""
    if any(node.attrs.get("pad", ())):
        return _bounds({}, y)
    taps = int(np.prod(node.attrs["kernel"]))
    return bounds[0] if node.attrs["kind"] == "max" else _mean(graph, node, y, bounds[0], taps, taps - 1)


def _reduce(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    x = graph.values[first_input(node)].shape
    if node.attrs["axes"] >> len(x) - 1 & 1 or len(x) != len(y.shape):
        return _bounds({}, y)
    return bounds[0] if node.attrs["fn"] != "mean" else _mean(graph, node, y, bounds[0], int(np.prod(x) // np.prod(y.shape)), 0)


def _cast(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    return bounds[0] if slot(node, 1) is None else _mean(graph, node, y, bounds[0], 1, 0)


def _mean(graph: Graph, node: Node, y: Value, bounds: Bounds, count: int, at: int) -> Bounds:
    """Of so many elements between these bounds, by a multiplier."""
    zero = graph.values[first_input(node)].quant
    assert zero is not None and y.quant is not None
    return _finish((bounds - zero.zero_point) * count, _data(graph, node, 1)[at], y.quant)


def _reshape(graph: Graph, node: Node, y: Value, bounds: list[Bounds]) -> Bounds:
    """Rows that hold whole pixels have the channels of these."""
    count, rest = divmod(y.shape[-1] if y.shape else 1, bounds[0].shape[1])
    return _bounds({}, y) if rest else np.tile(bounds[0], count)


_FUNCTIONS = {"concat": _concat, "lut": _lut, "pool": _pool, "reduce": _reduce, "cast": _cast, "reshape": _reshape}


def _idle(channels: Channels) -> Ints:
    """Channels that meet no weight but zero in any layer of integers, less those that round the others up to whole units."""
    graph, needed = channels.graph, [np.array([HELD])]
    for node in graph.nodes:
        of = channels.last(first_input(node)) if node.op in MAKERS else None
        if of is not None:
            needed.append(of[_used(graph, node)] if _is_integer(graph, node) else of)
    gone = np.setdiff1d(channels.every(), np.concatenate(needed))
    for name in channels.made:
        of = channels.last(name)
        if of is not None:
            gone = np.setdiff1d(gone, _kept(of, gone))
    return gone


def _kept(of: Ints, gone: Ints) -> Ints:
    """Channels that stay although they could leave, so that of these at least one is left, and whole units."""
    idle = list(dict.fromkeys(of[np.isin(of, gone)].tolist()))
    for count in range(len(idle)):
        left = len(of) - int(np.isin(of, idle[count:]).sum())
        if left and left % UNIT == 0:
            return np.array(idle[:count], np.int64)
    return np.array(idle, np.int64)
