"""Rules for channels that branches made and a concat joins: groups that were spelt out, and what each branch could do."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import PANEL
from . import views
from .channels import ACTIVATIONS, is_inactive, scale_and_shift
from .graph import Node
from .rewrite import Index, Rule, add_constant, add_value, bypass, first_input, first_output, insert_before, slot

_WINDOWS = ("conv", "dwconv", "deconv")  # what takes a scale, a shift and an activation into itself


def join_groups(index: Index, node: Node) -> bool:
    """Convolutions of the parts of one image, joined again, are one convolution in groups.

    Not where the parts have a larger window and channels enough for a quicker way of their own (winograd.py).
    """
    makers = _makers(index, node, ("conv",))
    weights, biases = ([index.constant(slot(maker, i)) for maker in makers] for i in (1, 2))
    if len(makers) < 2 or not _are_alike(weights) or weights[0] is None or not _are_alike(biases):
        return False
    groups, _, taps, depth = weights[0].shape
    image = _whole(index, makers, depth) if groups == 1 and (taps == 1 or depth < PANEL) else None
    if image is None or any(maker.attrs != makers[0].attrs for maker in makers):
        return False
    node.op, node.attrs, y = "conv", {**makers[0].attrs, "groups": len(makers)}, first_output(node)
    stacked = [np.concatenate([p for p in parts if p is not None]) for parts in (weights, biases) if parts[0] is not None]
    node.inputs = [image, *(add_constant(index.graph, f"{y}:groups", data, "panels") for data in stacked)]
    return True


def _are_alike(parts: list[NDArray[Any] | None]) -> bool:
    """Whether all are constants of one shape, or none is there."""
    return len({None if part is None else part.shape for part in parts}) == 1


def _makers(index: Index, node: Node, ops: tuple[str, ...]) -> list[Node]:
    """The nodes that make what a concat of channels joins, if each is one of `ops` and makes it for the concat alone, and is
    done with it: no addend, no activation. Else none."""
    if node.op != "concat" or node.attrs["axis"] != len(index.graph.values[first_output(node)].shape) - 1:
        return []
    makers = [index.maker(name) for name in node.inputs if index.only_user(name) is node]
    sound = [m for m in makers if m is not None and m.op in ops and is_inactive(m) and slot(m, 3) is None]
    return sound if len(sound) == len(node.inputs) else []


def _whole(index: Index, makers: list[Node], width: int) -> str | None:
    """The value of which the nodes take one part of so many channels after the other, all of it; None if they do not."""
    copies = [index.maker(maker.inputs[0], "copy") for maker in makers]
    image = None if copies[0] is None else first_input(copies[0])
    shape = () if image is None else index.graph.values[image].shape
    if image is None or shape[-1:] != (len(makers) * width,):
        return None
    for i, copy in enumerate(copies):
        part = (*shape[:-1], width)
        if copy is None or first_input(copy) != image or index.graph.values[first_output(copy)].shape != part:
            return None
        if views.simplify(views.of_node(copy, part)) != views.simplify(views.View(part, i * width, views.contiguous(shape))):
            return None
    return image


def scale_branches(index: Index, node: Node) -> bool:
    """A scale or shift per channel behind a concat goes in front of it: BatchNormalization, which goes on into the weights."""
    user = index.only_user(first_output(node)) if _makers(index, node, _WINDOWS) else None
    found = None if user is None else scale_and_shift(index, user, first_output(node))
    if user is None or found is None:
        return False

    def branch(low: int, high: int, x: str, y: str) -> list[Node]:
        inner = add_value(index.graph, f"{x}:scaled", index.graph.values[x].shape)
        factor, summand = (add_constant(index.graph, f"{x}:{low}", data[low:high]) for data in found)
        return [_binary("mul", x, factor, inner, user.source), _binary("add", inner, summand, y, user.source)]

    return _into_branches(index, node, user, branch)


def _binary(fn: str, a: str, b: str, y: str, source: str) -> Node:
    return Node("binary", [a, b], [y], {"fn": fn, "activation": ("none", 0.0, 0.0)}, source)


def activate_branches(index: Index, node: Node) -> bool:
    """An activation behind a concat goes in front of it."""
    user = index.only_user(first_output(node)) if _makers(index, node, _WINDOWS) else None
    if user is None or user.op != "unary" or user.attrs["function"][0] not in ACTIVATIONS:
        return False
    return _into_branches(index, node, user, lambda _low, _high, x, y: [Node("unary", [x], [y], dict(user.attrs), user.source)])


def _into_branches(index: Index, node: Node, user: Node, branch: Callable[[int, int, str, str], list[Node]]) -> bool:
    """Let each branch of a concat do what its only user does: `branch` gives the nodes from x to y, of these channels."""
    graph, low = index.graph, 0
    for i, name in enumerate(node.inputs):
        x = str(name)
        shape = graph.values[x].shape
        y = add_value(graph, f"{x}:joined", shape)
        for new in branch(low, low + shape[-1], x, y):
            insert_before(graph, node, new)
        node.inputs[i] = y
        low += shape[-1]
    return bypass(index, user, first_output(node))


GROUPS: list[Rule] = [join_groups]  # before what takes convolutions apart
RULES: list[Rule] = [scale_branches, activate_branches]
