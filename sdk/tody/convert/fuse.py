"""Rules that let an operator do its neighbour's work: constants, activations, padding and additions go into convolutions."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .. import format as fmt
from . import branches, filters, joins, views
from .channels import ACTIVATIONS, is_inactive, scale_and_shift
from .graph import Graph, Node
from .rewrite import (
    Index,
    Rule,
    absorb,
    add_constant,
    add_value,
    first_input,
    first_output,
    insert_after,
    insert_before,
    slot,
    sweep,
)
from .simplify import simplify
from .slopes import slopes_behind

_LINEAR = ("conv", "dwconv", "deconv", "dense")  # inputs: x, weights, [bias], [addend]
_WITH_ADDEND = ("conv", "dwconv", "dense")


def fuse(graph: Graph) -> None:
    """Apply the rules of this file, of those that it lists, and of `simplify` until nothing changes."""
    simplify(graph)
    sweep(graph, joins.GROUPS)
    while sweep(graph, RULES):
        simplify(graph)


def _set_slot(node: Node, i: int, name: str) -> None:
    node.inputs = node.inputs + [None] * (i + 1 - len(node.inputs))
    node.inputs[i] = name


def fold_scale(index: Index, node: Node) -> bool:
    """A scale or shift per channel behind a linear operator goes into its weights and bias: BatchNormalization, bias."""
    y = first_output(node)
    user = index.only_user(y) if node.op in _LINEAR and is_inactive(node) and slot(node, 3) is None else None
    found = None if user is None else scale_and_shift(index, user, y)
    old = index.constant(slot(node, 2)) if node.op in _LINEAR else None
    if found is None or user is None or (slot(node, 2) is not None and old is None):
        return False
    scale, shift = found
    weights = index.constant(slot(node, 1))
    if weights is None and (scale != 1).any():  # quantised ones keep their integers
        return False
    graph, packed = index.graph, node.op != "dwconv"
    whole = graph.values[str(node.inputs[1])].shape
    shape = whole[:2] if packed else whole[1:]
    wide = scale.astype(np.float64)
    if weights is not None and (scale != 1).any():
        data = weights * wide.reshape(*shape, 1, 1) if packed else weights * wide
        node.inputs[1] = add_constant(
            graph, f"{node.inputs[1]}:scaled", data.astype(np.float32), "panels" if packed else "plain"
        )
    bias = (0.0 if old is None else old.astype(np.float64).reshape(-1)) * wide + shift
    _set_slot(
        node, 2, add_constant(graph, f"{y}:bias", bias.astype(np.float32).reshape(shape), "panels" if packed else "plain")
    )
    return absorb(index, node, user)


def fold_activation(index: Index, node: Node) -> bool:
    """An activation behind an operator that can apply one."""
    if node.op not in (*_LINEAR, "instance_norm", "binary") or not is_inactive(node):
        return False
    user = index.only_user(first_output(node))
    if user is None or user.op != "unary" or index.graph.values[first_output(user)].dtype != "float32":
        return False
    if node.op == "binary" and (
        user.attrs["function"][0] != "clamp" or index.graph.values[first_output(node)].dtype != "float32"
    ):
        return False
    if user.attrs["function"][0] not in ACTIVATIONS:
        return False
    node.attrs = {**node.attrs, "activation": user.attrs["function"]}
    return absorb(index, node, user)


def takes_addend(index: Index, node: Node) -> tuple[Node, int] | None:
    """The later of the operators that made the operands of an addition, if it can add, and which operand it made."""
    if node.op != "binary" or node.attrs["fn"] != "add":
        return None
    graph = index.graph
    place = {id(other): i for i, other in enumerate(graph.nodes)}
    makers = [index.maker(name) for name in node.inputs]
    for i in sorted((0, 1), key=lambda i: -place.get(id(makers[i]), -1)):
        maker, x, other = makers[i], node.inputs[i], node.inputs[1 - i]
        if maker is None or x is None or other is None or x == other or maker.op not in _WITH_ADDEND:
            continue
        earlier = place.get(id(makers[1 - i]), -1) < place[id(maker)]
        same = graph.values[x].shape == graph.values[other].shape
        if not earlier or not same or graph.values[other].constant:
            continue
        sums = is_inactive(maker) and slopes_behind(graph, maker) is None
        if sums and slot(maker, 3) is None and index.only_user(x) is node:
            return maker, i
    return None


def fold_addend(index: Index, node: Node) -> bool:
    """The addition of a residual, before the activation, goes into one of the operators that made its operands.

    That of int8 rounds its product before, as it did when the addition was another operator's.
    """
    found = takes_addend(index, node)
    if found is None:
        return False
    maker, i = found
    other, factors = node.inputs[1 - i], index.constant(slot(node, 2))
    assert other is not None
    _set_slot(maker, 3, other)
    if factors is not None:
        quant = index.graph.values[first_output(maker)].quant
        assert quant is not None
        last = np.array([factors[1 - i], factors[i], 128 - quant.zero_point], np.float32)
        maker.inputs.append(add_constant(index.graph, f"{first_output(node)}:addend", last))
    maker.attrs = {**maker.attrs, "activation": node.attrs.get("activation", ("none", 0.0, 0.0))}
    return absorb(index, maker, node)


def fold_pad(index: Index, node: Node) -> bool:
    """Padding goes into the window of the operator behind it, where it means the same.

    Zeros for convolutions; zeros for an average that counts its own padding; minus infinity for a maximum, whose own padding
    never wins. Zeros around a maximum stay: they can win.
    """
    if node.op != "pad" or node.attrs["mode"] != "constant":
        return False
    x, y = first_input(node), first_output(node)
    user = index.only_user(y)
    shape, new = index.graph.values[x].shape, index.graph.values[y].shape
    if user is None or user.op not in ("conv", "dwconv", "pool") or first_input(user) != y or len(shape) != 4:
        return False
    before = [int(n) for n in node.attrs["before"][:4]]
    after = [n - o - b for n, o, b in zip(new, shape, before, strict=True)]
    if before[0] or before[3] or after[0] or after[3] or not _pads_alike(node, user):
        return False
    pad = [n + o for n, o in zip(user.attrs["pad"], (before[1], before[2], after[1], after[2]), strict=True)]
    dilation = user.attrs.get("dilation", (1, 1))
    reach = [(k - 1) * d for k, d in zip(user.attrs["kernel"], dilation, strict=True)]
    if user.op == "pool" and any(n > reach[i % 2] for i, n in enumerate(pad)):
        return False
    user.inputs[0] = x
    user.attrs = {**user.attrs, "pad": tuple(pad)}
    if user.op == "pool" and user.attrs["kind"] == "average":
        user.attrs["include_pad"] = 1
    return True


def _pads_alike(pad: Node, user: Node) -> bool:
    value = float(pad.attrs["value"])
    if user.op != "pool":
        return value == 0
    if user.attrs["kind"] == "max":
        return value == -math.inf or value <= float(np.finfo(np.float32).min)
    return value == 0 and (bool(user.attrs.get("include_pad")) or not any(user.attrs["pad"]))


def swap_in_matmul(index: Index, node: Node) -> bool:
    """A matrix product that takes b transposed needs no copy that swaps the last two dimensions of b."""
    copy = index.maker(node.inputs[1], "copy") if node.op == "matmul" else None
    if copy is None:
        return False
    source, shape = first_input(copy), index.graph.values[first_output(copy)].shape
    rank = len(shape)
    if len(index.graph.values[source].shape) != rank:
        return False
    order = views.permutation(views.of_node(copy, shape), index.graph.values[source].shape)
    if order != (*range(rank - 2), rank - 1, rank - 2):
        return False
    node.inputs[1] = source
    node.attrs = {**node.attrs, "transpose_b": 1 - int(node.attrs.get("transpose_b", 0))}
    return True


def split_by_channels(index: Index, node: Node) -> bool:
    """A convolution whose result is only ever taken apart by channels makes the parts at once, without copies.

    A part is whole panels wide, so that the parts do no more work than the whole did.
    """
    y = first_output(node)
    users = index.users.get(y, []) if node.op in ("conv", "dense") and y not in index.graph.outputs else []
    weights, shape = index.constant(slot(node, 1)), index.graph.values[y].shape
    if len(users) < 2 or weights is None or weights.shape[0] != 1 or slot(node, 3) is not None:
        return False
    if any(user.op != "copy" for user in users):
        return False
    seen = [views.columns(views.of_node(u, index.graph.values[first_output(u)].shape), shape[-1]) for u in users]
    parts = sorted({part for part in seen if part is not None})
    whole = all(low % fmt.PANEL == 0 and (high % fmt.PANEL == 0 or high == shape[-1]) for low, high in parts)
    apart = all(a[1] <= b[0] for a, b in pairwise(parts))
    if None in seen or len(parts) < 2 or not whole or not apart:
        return False
    made = {part: _part(index, node, *part) for part in parts}
    for user, part in zip(users, seen, strict=True):
        assert part is not None
        _read_part(index.graph, user, made[part], shape[-1], part)
    index.graph.nodes.remove(node)
    return True


def _part(index: Index, node: Node, low: int, high: int) -> str:
    """A convolution that makes some of another's channels; returns its output."""
    graph, y = index.graph, first_output(node)
    name = add_value(graph, f"{y}:{low}-{high}", (*graph.values[y].shape[:-1], high - low))
    inputs = list(node.inputs)
    for i in (1, 2):
        data = index.constant(slot(node, i))
        if data is not None:
            inputs[i] = add_constant(graph, f"{node.inputs[i]}:{low}-{high}", data[:, low:high], "panels")
    insert_before(graph, node, Node(node.op, inputs, [name], dict(node.attrs), node.source))
    return name


def _read_part(graph: Graph, copy: Node, part: str, width: int, columns: tuple[int, int]) -> None:
    """Let a copy of some columns of a whole read the part that holds them."""
    y = first_output(copy)
    value = graph.values[y]
    view = views.narrow(views.of_node(copy, value.shape), width, *columns)
    full = views.expand(view, value.shape)
    copy.inputs, copy.attrs = [part], views.attributes(full or view)
    if full is None:
        copy.outputs = [add_value(graph, f"{y}:flat", view.shape, value.dtype, value.quant)]
        insert_after(graph, copy, Node("reshape", list(copy.outputs), [y], source=copy.source))


RULES: list[Rule] = [
    fold_pad,
    fold_scale,
    fold_activation,
    *branches.RULES,
    *joins.RULES,
    fold_addend,
    swap_in_matmul,
    split_by_channels,
    *filters.RULES,
]
