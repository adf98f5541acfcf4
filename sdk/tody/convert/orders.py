"""How the order of dimensions passes through an operator.

An order says how a value lies in memory: physical = logical.transpose(order).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from .graph import Graph, Node

Order = tuple[int, ...]
Shape = tuple[int, ...]

# All tensors of these have one rank, so that one order serves them all.
UNIFORM = ("unary", "binary", "where", "cast", "concat", "pad", "reduce", "softmax", "arg_reduce", "topk", "cumsum")
_FIRST_ONLY = ("dense", "layer_norm", "gather")  # the other inputs keep their meaning, an addend aside


def moves_nothing(shape: Shape, order: Order) -> bool:
    """Whether transposing leaves all elements where they are."""
    kept = [d for d in order if shape[d] > 1]
    return kept == sorted(kept)


def carry(graph: Graph, node: Node, name: str, order: Order) -> dict[str, Order] | None:
    """The orders of all activations of a node if `name` has `order`; None if the node cannot work that way."""
    values = graph.values
    outputs = [n for n in node.outputs if n is not None]
    inputs = [n for n in node.inputs if n is not None and not values[n].constant]
    if node.op == "reshape":
        x, y = inputs[0], outputs[0]
        other = y if name == x else x
        result = through_reshape(values[name].shape, values[other].shape, order)
        return None if result is None else {name: order, other: result}
    if node.op in UNIFORM:
        return dict.fromkeys([*inputs, *outputs], order)
    if node.op in _FIRST_ONLY and _keeps_its_place(graph, node, order):
        kept = [n for i, n in enumerate(node.inputs) if n is not None and i in (0, 3)]
        return dict.fromkeys([*kept, *outputs], order) if name in (*kept, *outputs) else None
    return None


def _keeps_its_place(graph: Graph, node: Node, order: Order) -> bool:
    rank = len(order)
    if node.op == "dense":
        return order[-1] == rank - 1
    if node.op == "layer_norm":
        inner = order[int(node.attrs["axis"]) :]
        return (tuple(sorted(inner)) if len(node.inputs) == 1 else inner) == tuple(range(rank - len(inner), rank))
    x, indices = node.inputs[:2]
    return x is not None and indices is not None and graph.values[indices].constant and len(graph.values[indices].shape) == 1


def through_reshape(shape: Shape, new: Shape, order: Order) -> Order | None:
    """The order of a reshaped tensor so that the reshape still moves nothing; None if there is none."""
    groups = _groups(shape, new)
    wide = [d for d in order if shape[d] > 1]
    placed: list[tuple[int, list[int]]] = []
    for mine, theirs in groups:
        kept = [d for d in mine if shape[d] > 1]
        if kept and wide[(at := wide.index(kept[0])) : at + len(kept)] != kept:
            return None
        placed.append((order.index((kept or mine)[0]), theirs))
    return tuple(d for _, theirs in sorted(placed) for d in theirs) if placed else None


def _groups(a: Shape, b: Shape) -> list[tuple[list[int], list[int]]]:
    """The dimensions of two shapes in the smallest runs that hold equally many elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) and j < len(b) and 0 not in a:
        first, second = [i], [j]
        sizes = [a[i], b[j]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                i += 1
                first.append(i)
                sizes[0] *= a[i]
            else:
                j += 1
                second.append(j)
                sizes[1] *= b[j]
        groups.append((first, second))
        i, j = i + 1, j + 1
    if not groups:
        return []
    groups[-1][0].extend(range(i, len(a)))
    groups[-1][1].extend(range(j, len(b)))
    return groups


def remap(node: Node, order: Order) -> dict[str, Any]:
    """The parameters of a node that works in `order`."""
    attrs = dict(node.attrs)
    if node.op == "layer_norm":
        return attrs
    if "axis" in attrs:
        attrs["axis"] = order.index(int(attrs["axis"]))
    if node.op == "reduce":
        attrs["axes"] = sum(1 << order.index(d) for d in range(len(order)) if int(attrs["axes"]) >> d & 1)
    if node.op == "pad":
        attrs["before"] = tuple(attrs["before"][d] for d in order)
    return attrs
