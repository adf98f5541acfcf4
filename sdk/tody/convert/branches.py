"""Rules that let one convolution compute what several do side by side, or what a scale in front of it does.

Networks are trained with parallel branches (RepVGG, Ding et al. 2021; MobileOne, Vasu et al. 2023) and often exported so.
A sum of linear maps of one value is a linear map.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channels import is_inactive, scale_and_shift
from .graph import Graph, Node
from .rewrite import Index, Rule, absorb, add_constant, bypass, first_input, first_output, insert_before, slot

Wide = NDArray[np.float64]
Pair = tuple[Wide, Wide]  # weights as the node holds them, and a bias per channel

_SIGNS = {"add": (1, 1), "sub": (1, -1)}  # of the operands


def merge_branches(index: Index, node: Node) -> bool:
    """A sum or difference of a convolution with another one of the same input, or with its input scaled, is one convolution."""
    if node.op != "binary" or node.attrs["fn"] not in _SIGNS or len(node.inputs) != 2:
        return False
    signs = _SIGNS[node.attrs["fn"]]
    for i in (0, 1):
        host = _branch(index, node, i)
        pair = None if host is None else _merged(index, node, host, i, signs)
        if host is None or pair is None:
            continue
        graph = index.graph
        _set_pair(graph, host, *pair)
        host.attrs = {**host.attrs, "activation": node.attrs.get("activation", ("none", 0.0, 0.0))}
        graph.nodes.remove(host)
        insert_before(graph, node, host)  # what the other branch adds is there by now
        return absorb(index, host, node)
    return False


def _branch(index: Index, node: Node, i: int) -> Node | None:
    """The convolution with constant weights that makes operand i, for this node alone."""
    maker = index.maker(node.inputs[i])
    if maker is None or maker.op not in ("conv", "dwconv") or index.only_user(node.inputs[i]) is not node:
        return None
    shape = [index.graph.values[name].shape for name in (first_output(maker), first_output(node))]
    return maker if is_inactive(maker) and shape[0] == shape[1] and _pair(index, maker) is not None else None


def _pair(index: Index, node: Node) -> Pair | None:
    weights = index.constant(node.inputs[1])
    bias = index.constant(slot(node, 2))
    if weights is None or weights.dtype != np.float32 or (bias is None and slot(node, 2) is not None):
        return None
    channels = index.graph.values[first_output(node)].shape[-1]
    return weights.astype(np.float64), np.zeros(channels) if bias is None else bias.astype(np.float64).reshape(-1)


def _set_pair(graph: Graph, node: Node, weights: Wide, bias: Wide) -> None:
    packed = node.op != "dwconv"
    pack, shape = ("panels", weights.shape[:2]) if packed else ("plain", bias.shape)
    names: list[str | None] = [
        add_constant(graph, f"{name}:merged", data.astype(np.float32), pack)
        for name, data in ((node.inputs[1], weights), (first_output(node), bias.reshape(shape)))
    ]
    node.inputs = [node.inputs[0], *names, *node.inputs[3:]]


def _merged(index: Index, node: Node, host: Node, i: int, signs: tuple[int, int]) -> Pair | None:
    """Weights and bias of the host with the other operand in them; its addend moves to the host."""
    found = _pair(index, host)
    guest = _branch(index, node, 1 - i)
    assert found is not None
    weights, bias = signs[i] * found[0], signs[i] * found[1]
    if slot(host, 3) is not None and signs[i] < 0:
        return None
    if guest is None:
        scaled = _scaled(index, node.inputs[1 - i], first_input(host))
        middle = _places(host, {"kernel": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0), "stride": (1, 1)})
        if scaled is None or middle is None or not _on_diagonal(weights, host, signs[1 - i] * scaled[0], middle[0]):
            return None
        return weights, bias + signs[1 - i] * scaled[1]
    other, places = _pair(index, guest), _places(host, guest.attrs)
    if other is None or places is None or guest is host or not _adds_up(host, guest, signs[1 - i]):
        return None
    at = (slice(None), slice(None), places) if host.op == "conv" else (places,)
    weights[at] += signs[1 - i] * other[0]
    if slot(host, 3) is None and slot(guest, 3) is not None:
        host.inputs = [*host.inputs[:3], slot(guest, 3)]
    return weights, bias + signs[1 - i] * other[1]


def _adds_up(host: Node, guest: Node, sign: int) -> bool:
    """Whether the two are convolutions of the same kind and input, with one addend at most."""
    alike = (host.op, host.inputs[0], host.attrs["groups"]) == (guest.op, guest.inputs[0], guest.attrs["groups"])
    return alike and (slot(guest, 3) is None or (slot(host, 3) is None and sign > 0))


def _places(host: Node, guest: dict[str, Any]) -> list[int] | None:
    """Which of the host's taps the guest's are; None if its window is not within the host's."""
    if tuple(host.attrs["stride"]) != tuple(guest["stride"]):
        return None
    sides: list[list[int]] = []
    for d in (0, 1):
        step = host.attrs["dilation"][d]
        seen = [k * guest["dilation"][d] - guest["pad"][d] + host.attrs["pad"][d] for k in range(guest["kernel"][d])]
        if any(at % step or not 0 <= at // step < host.attrs["kernel"][d] for at in seen):
            return None
        sides.append([at // step for at in seen])
    return [row * host.attrs["kernel"][1] + column for row in sides[0] for column in sides[1]]


def _scaled(index: Index, name: str | None, x: str) -> tuple[Wide, Wide] | None:
    """The factor and the summand per channel if `name` is x times one plus the other. x itself is left to be an addend."""
    values = index.graph.values
    channels = values[x].shape[-1]
    scale: Wide = np.ones(channels)
    shift: Wide = np.zeros(channels)
    while name is not None and name != x and values[name].shape == values[x].shape:
        maker = index.maker(name)
        inner = None if maker is None else next((n for n in maker.inputs if index.constant(n) is None), None)
        step = None if maker is None or inner is None else scale_and_shift(index, maker, inner)
        if step is None:
            return None
        scale, shift, name = scale * step[0], shift + scale * step[1], inner
    return None if name != x or (scale == 1).all() else (scale, shift)


def _on_diagonal(weights: Wide, host: Node, scale: Wide, tap: int) -> bool:
    """Add a factor per channel to the weights, in place; False if the outputs are not as many as the inputs."""
    if host.op == "dwconv":
        weights[tap] += scale
        return True
    groups, columns, _, depth = weights.shape
    if columns != depth:
        return False
    same = np.arange(depth)
    weights[:, same, tap, same] += scale.reshape(groups, depth)
    return True


def fold_scale_before(index: Index, node: Node) -> bool:
    """A scale or shift per channel in front of linear operators goes into their weights; a shift only where nothing pads."""
    if node.op not in ("binary", "unary"):
        return False
    x, y = next((n for n in node.inputs if index.constant(n) is None), None), first_output(node)
    step = None if x is None else scale_and_shift(index, node, x)
    if x is None or step is None or y in index.graph.outputs:
        return False
    users = index.users.get(y, [])
    if not users or not all(_takes_scale(index, user, y, bool(np.any(step[1]))) for user in users):
        return False
    for user in users:
        pair = _pair(index, user)
        assert pair is not None
        weights, bias = pair
        if user.op != "dwconv":
            wide = (len(weights), 1, 1, -1)
            bias = bias + (weights * step[1].reshape(wide)).sum((2, 3)).reshape(-1)
            weights = weights * step[0].reshape(wide)
        else:
            bias, weights = bias + (weights * step[1]).sum(0), weights * step[0]
        _set_pair(index.graph, user, weights, bias)
    return bypass(index, node, x)


def _takes_scale(index: Index, user: Node, y: str, shifts: bool) -> bool:
    if user.op not in ("conv", "dwconv", "dense") or user.inputs.count(y) != 1 or user.inputs[0] != y:
        return False
    return _pair(index, user) is not None and not (shifts and any(user.attrs.get("pad", ())))


RULES: list[Rule] = [merge_branches, fold_scale_before]
