"""Remove channels from a graph: smaller weights, smaller shapes, and copies that step over what is gone."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import views
from .graph import Graph, Node
from .rewrite import add_constant, drop_dead, first_input, first_output, slot
from .ties import MAKERS, Channels, Ints, source_of

Mask = NDArray[np.bool_]


class Inlet(Protocol):
    """The input of a layer `node`, and how its channels can stand in for one another."""

    node: Node

    def stand_in(self, group: int, stays: Mask) -> NDArray[np.float64]:
        """What the channels that stay give for those that go: [gone, stay]."""


class NotAViewError(Exception):
    """What a copy would have to read is not a strided view any more. `name` is the value that it reads."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def remove(channels: Channels, gone: Ints, inlets: Sequence[Inlet] = ()) -> Graph:
    """A graph without these channels; the one that the channels are of stays as it is.

    Args:
        channels: of the graph.
        gone: channels that leave, with all that they are tied to.
        inlets: of the layers in which other channels shall stand in for those that leave.

    Raises:
        NotAViewError: these cannot leave together.
    """
    surgery = _Surgery(channels, gone)
    standing = {id(inlet.node): inlet for inlet in inlets}
    graph = surgery.graph
    for old, node in zip(channels.graph.nodes, graph.nodes, strict=True):
        if old.op in (*MAKERS, "dwconv"):
            surgery.layer(old, node, standing.get(id(old)))
        elif old.op in ("binary", "where"):
            surgery.operands(old, node)
        elif old.op == "instance_norm":
            surgery.vectors(old, node)
        elif old.op == "copy":
            surgery.copy(old, node)
        elif old.op == "gather":
            surgery.gather(old, node)
    for name in channels.graph.values:
        graph.values[name] = replace(graph.values[name], shape=surgery.shape(name))
    drop_dead(graph)
    return graph


class _Surgery:
    def __init__(self, channels: Channels, gone: Ints) -> None:
        self._channels, self._gone = channels, gone
        self._old = channels.graph
        self.graph = channels.graph.copy()

    def keeps(self, name: str | None, axis: int) -> Mask | None:
        """Which indices of a value stay along an axis; None: all."""
        of = self._channels.along(name, axis)
        return None if of is None else ~np.isin(of, self._gone)

    def _last(self, name: str) -> Mask:
        mask = self.keeps(name, len(self._old.values[name].shape) - 1)
        return np.ones(self._old.values[name].shape[-1], bool) if mask is None else mask

    def shape(self, name: str) -> tuple[int, ...]:
        """What is left of the shape of a value."""
        shape = self._old.values[name].shape
        masks = [self.keeps(name, d) for d in range(len(shape))]
        return tuple(extent if m is None else int(m.sum()) for extent, m in zip(shape, masks, strict=True))

    def layer(self, old: Node, node: Node, inlet: Inlet | None) -> None:
        """Weights and what there is one of for each channel, without what leaves."""
        data = self._old.values[old.inputs[1] or ""].data
        inward, outward = self._last(first_input(old)), self._last(first_output(old))
        if data is None or (inward.all() and outward.all()):
            return
        if old.op == "dwconv":
            self._set(node, 1, data[:, outward])
            node.attrs = {**node.attrs, "groups": int(outward.sum())}
        else:
            stays = inward.reshape(data.shape[0], -1)
            if inlet is not None and not inward.all():
                data = _taken_over(data, inlet, stays)
            self._set(node, 1, data[:, outward.reshape(data.shape[0], -1)[0]][..., stays[0]])
        for i in (2, 3 if old.op == "deconv" else 4):  # bias, and multipliers of integers
            name = slot(old, i)
            numbers = None if name is None else self._old.values[name].data
            if numbers is not None:
                left = numbers.reshape(-1, len(outward))[:, outward]  # slopes may stand behind multipliers
                self._set(node, i, left.reshape(-1) if old.op == "dwconv" else left.reshape(len(left) * data.shape[0], -1))

    def operands(self, old: Node, node: Node) -> None:
        """Constant operands without what leaves of the result."""
        y = first_output(old)
        for i, name in enumerate(old.inputs[: 2 if old.op == "binary" else 3]):
            data = None if name is None else self._old.values[name].data
            for axis in range(data.ndim if data is not None else 0):
                mask = self.keeps(y, axis)
                if data is not None and mask is not None and data.shape[axis] > 1 and not mask.all():
                    self._set(node, i, data.compress(mask, axis))

    def vectors(self, old: Node, node: Node) -> None:
        """Scale and bias without what leaves."""
        mask = self._last(first_output(old))
        for i, name in enumerate(old.inputs[1:], 1):
            data = None if name is None else self._old.values[name].data
            if data is not None and not mask.all():
                self._set(node, i, data[mask])

    def copy(self, old: Node, node: Node) -> None:
        """The view of what is left that makes what is left."""
        x, y = first_input(old), first_output(old)
        stays = self._mask(x)
        if stays.all() and self._mask(y).all():
            return
        source = source_of(old, self._old.values[y].shape)[self._mask(y)]
        at = (np.cumsum(stays.reshape(-1)) - 1)[source].reshape(self.shape(y))
        start = int(at.flat[0])
        strides = [int(at.take(1, d).flat[0]) - start if extent > 1 else 0 for d, extent in enumerate(self.shape(y))]
        view = views.View(self.shape(y), start, tuple(strides))
        node.attrs = {**node.attrs, **views.attributes(view)}
        if (source_of(node, at.shape) != at).any():
            raise NotAViewError(x)

    def gather(self, old: Node, node: Node) -> None:
        """The numbers of the elements that are left."""
        axis, indices = int(old.attrs["axis"]), self._old.values[old.inputs[1] or ""].data
        inward = self.keeps(first_input(old), axis)
        if indices is None or inward is None or inward.all():
            return
        outward = inward[indices]
        if indices.ndim != 1:
            raise NotAViewError(first_input(old))
        self._set(node, 1, (np.cumsum(inward) - 1)[indices[outward]].astype(np.int32))

    def _mask(self, name: str) -> Mask:
        """Which elements of a value stay."""
        return ~np.isin(self._channels.full(name), self._gone)

    def _set(self, node: Node, i: int, data: NDArray[np.generic]) -> None:
        """Give a node a constant of its own; others may use the old one in other ways."""
        old = self._old.values[node.inputs[i] or ""]
        node.inputs[i] = add_constant(self.graph, f"{old.name}:pruned", data, old.pack, old.quant)


def _taken_over(weights: NDArray[np.float32], inlet: Inlet, stays: Mask) -> NDArray[np.float32]:
    """Weights [G,N,T,K] in which the channels that stay do what they can of the others' work."""
    wide = weights.astype(np.float64)
    for group, mask in enumerate(stays):
        wide[group][..., mask] += wide[group][..., ~mask] @ inlet.stand_in(group, mask)
    return wide.astype(np.float32)
