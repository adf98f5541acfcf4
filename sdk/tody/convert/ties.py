"""Which channels of a graph can only be removed together, because operators tie them to one another.

Every output channel of a convolution or dense layer begins as a channel of its own. It is followed through the graph: an
addition ties the channels of its operands, a depthwise convolution hands them on, a transposition moves them to another axis,
a channel shuffle ties the groups, a reshape to rows repeats them, and what looks at all channels at once (softmax along them,
an output of the model) holds them fast. So no operator is special, and no architecture.

Source of the idea: G. Fang et al., "DepGraph: towards any structural pruning", 2023.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import views
from .graph import Graph, Node
from .rewrite import first_input, first_output, slot

Ints = NDArray[np.int64]

MAKERS = ("conv", "deconv", "dense")  # weights [G,N,T,K]: their output channels are new ones
HELD = 0  # the channel of everything that stays


@dataclass(frozen=True)
class Lanes:
    """The channels of a value: along `axis`, index i belongs to channel `of[i]`."""

    axis: int
    of: Ints

    def fill(self, shape: tuple[int, ...]) -> Ints:
        """The channel of every element."""
        wide = [-1 if d == self.axis else 1 for d in range(len(shape))]
        return np.broadcast_to(self.of.reshape(wide), shape)


class Channels:
    """The channels of a graph, tied as its operators demand.

    Attributes:
        lanes: value -> its channels; a value that is not here has none that could be removed.
        made: output of a layer -> the channels that begin there.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.lanes: dict[str, Lanes] = {}
        self.made: dict[str, Ints] = {}
        self._reasons: dict[int, str] = {}
        self._parent: list[int] = [HELD]
        for node in graph.nodes:
            _RULES.get(node.op, _hold_inputs)(self, node)
        for name in graph.outputs:
            self.hold(name, "it is an output of the model")

    def roots(self, of: Ints) -> Ints:
        """The channel that stands for all that each of these is tied to."""
        parent = np.array(self._parent, np.int64)
        while (parent[parent] != parent).any():
            parent = parent[parent]
        self._parent = parent.tolist()
        return np.asarray(parent[of])

    def along(self, name: str | None, axis: int) -> Ints | None:
        """The channels of a value along this axis; None if it has none there."""
        lanes = self.lanes.get(name or "")
        return None if lanes is None or lanes.axis != axis else self.roots(lanes.of)

    def last(self, name: str | None) -> Ints | None:
        """The channels of a value along its last axis; None if it has none there."""
        return self.along(name, len(self._shape(name)) - 1)

    def every(self) -> Ints:
        """What each channel that there is is tied to, HELD among them."""
        return self.roots(np.arange(len(self._parent)))

    def tie(self, a: Ints, b: Ints) -> None:
        """Let channels leave only together, element by element."""
        pairs = np.unique(np.stack([a.reshape(-1), b.reshape(-1)]), axis=1)
        for i, j in pairs.T.tolist():
            low, high = sorted((self._find(i), self._find(j)))
            self._parent[high] = low

    def hold(self, name: str | None, why: str) -> None:
        """Let a value keep all its channels."""
        lanes = self.lanes.pop(name or "", None)
        if lanes is None:
            return
        for channel in np.flatnonzero(np.isin(self.every(), self.roots(lanes.of))).tolist():
            self._reasons.setdefault(channel, why)
        self.tie(lanes.of, np.zeros_like(lanes.of))

    def why_held(self, name: str) -> str | None:
        """Why a layer keeps all the channels that begin there; None if it need not."""
        of = self.made.get(name)
        if of is None:
            return "its weights are not constant"
        if (self.roots(of) != HELD).any():
            return None
        return next((self._reasons[i] for i in of.tolist() if i in self._reasons), "it is combined with what stays")

    def fresh(self, count: int) -> Ints:
        """New channels."""
        start = len(self._parent)
        self._parent += range(start, start + count)
        return np.arange(start, start + count)

    def settle(self, name: str, full: Ints) -> None:
        """Set the channels of a value from those of its elements, which must vary along one axis only: tie until they do."""
        full = self.roots(full)
        axes = [d for d in range(full.ndim) if full.shape[d] > 1 and (full != full.take([0], d)).any()]
        if not axes:
            if full.flat[0] != HELD:
                self.lanes[name] = Lanes(full.ndim - 1, np.repeat(full.flat[0], full.shape[-1]))
            return
        axis = axes[-1]
        rows = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1)
        if len(axes) > 1:
            self.tie(rows, np.broadcast_to(rows[:, :1], rows.shape))
        self.lanes[name] = Lanes(axis, rows[:, 0].copy())

    def full(self, name: str | None) -> Ints:
        """The channel of every element of a value."""
        shape, lanes = self._shape(name), self.lanes.get(name or "")
        return np.broadcast_to(np.int64(HELD), shape) if lanes is None else Lanes(lanes.axis, self.roots(lanes.of)).fill(shape)

    def _shape(self, name: str | None) -> tuple[int, ...]:
        return self.graph.values[name].shape if name is not None else ()

    def _find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


def _hold_inputs(channels: Channels, node: Node) -> None:
    """An operator that looks at all channels, or of which nothing is known."""
    for name in node.inputs:
        channels.hold(name, f"{node.op} {node.source or first_output(node)} needs all of them")


def _image(channels: Channels, node: Node) -> Ints | None:
    """The channels of the first input, which the operator takes along the last axis only."""
    x = first_input(node)
    if channels.last(x) is None:
        channels.hold(x, f"{node.op} {node.source or first_output(node)} has them along another axis")
    return channels.last(x)


def _linear(channels: Channels, node: Node) -> None:
    weights = channels.graph.values[node.inputs[1] or ""]
    if not weights.constant:
        _hold_inputs(channels, node)
        return
    groups, made, _, taken = weights.shape
    inward = _image(channels, node)
    if inward is not None and groups > 1:
        rows = inward.reshape(groups, taken)
        channels.tie(rows, np.broadcast_to(rows[:1], rows.shape))
    of = channels.made[first_output(node)] = np.tile(channels.fresh(made), groups)
    _give(channels, node, of)


def _depthwise(channels: Channels, node: Node) -> None:
    inward = _image(channels, node)
    constant = channels.graph.values[node.inputs[1] or ""].constant
    if not constant:
        _hold_inputs(channels, node)
    elif inward is not None:
        _give(channels, node, inward)
    elif len(node.inputs) > 3:
        channels.hold(node.inputs[3], f"{node.op} {node.source} adds it to what stays")


def _give(channels: Channels, node: Node, of: Ints) -> None:
    """Let the output of a linear operator have these channels, tied to those of the addend."""
    y = first_output(node)
    channels.lanes[y] = Lanes(len(channels.graph.values[y].shape) - 1, of)
    if addend := slot(node, 3):
        _join(channels, y, [y, addend])


def _planewise(channels: Channels, node: Node) -> None:
    """An operator that works on each channel of an image by itself."""
    of = _image(channels, node)
    if of is not None:
        channels.lanes[first_output(node)] = Lanes(len(channels.graph.values[first_output(node)].shape) - 1, of)


def _elementwise(channels: Channels, node: Node) -> None:
    _join(channels, first_output(node), [name for name in node.inputs if name is not None])


def _join(channels: Channels, y: str, names: list[str]) -> None:
    """An operator whose operands are broadcast against one another: tie their channels."""
    shape = channels.graph.values[y].shape
    for name in names:
        lanes = channels.lanes.get(name)
        narrow = lanes is not None and channels.graph.values[name].shape[lanes.axis] != shape[lanes.axis]
        if narrow or (lanes is None and not channels.graph.values[name].constant and _is_wide(channels, name, names)):
            for other in names:
                channels.hold(other if lanes is None else name, "it is combined with what stays")
    for lanes in [channels.lanes[name] for name in names if name in channels.lanes]:
        full = lanes.fill(shape)
        if y in channels.lanes:
            channels.tie(full, channels.full(y))
        channels.settle(y, full)


def _is_wide(channels: Channels, name: str, names: list[str]) -> bool:
    """Whether a value without channels has several elements along the axis of another's channels."""
    own = channels.graph.values[name].shape
    return any(own[channels.lanes[other].axis] > 1 for other in names if other in channels.lanes)


def _concat(channels: Channels, node: Node) -> None:
    parts = [channels.full(name) for name in node.inputs]
    channels.settle(first_output(node), np.concatenate(parts, int(node.attrs["axis"])))


def _copy(channels: Channels, node: Node) -> None:
    y = first_output(node)
    channels.settle(y, channels.full(first_input(node)).reshape(-1)[source_of(node, channels.graph.values[y].shape)])


def _reshape(channels: Channels, node: Node) -> None:
    y = first_output(node)
    channels.settle(y, channels.full(first_input(node)).reshape(channels.graph.values[y].shape))


def _along_axis(channels: Channels, node: Node) -> None:
    """An operator that looks along one axis, or from it on, and makes a value of the same shape."""
    x, axis = first_input(node), int(node.attrs["axis"])
    lanes = channels.lanes.get(x)
    if lanes is not None and (lanes.axis == axis or (node.op == "layer_norm" and lanes.axis >= axis)):
        _hold_inputs(channels, node)
    elif lanes is not None:
        channels.lanes[first_output(node)] = lanes


def _reduce(channels: Channels, node: Node) -> None:
    x, y = first_input(node), first_output(node)
    lanes = channels.lanes.get(x)
    if lanes is not None and int(node.attrs["axes"]) >> lanes.axis & 1:
        _hold_inputs(channels, node)
    elif lanes is not None:
        channels.lanes[y] = lanes


def _pad(channels: Channels, node: Node) -> None:
    x, y = first_input(node), first_output(node)
    lanes = channels.lanes.get(x)
    if lanes is not None and channels.graph.values[x].shape[lanes.axis] != channels.graph.values[y].shape[lanes.axis]:
        _hold_inputs(channels, node)
    elif lanes is not None:
        channels.lanes[y] = lanes


def _gather(channels: Channels, node: Node) -> None:
    x, axis = first_input(node), int(node.attrs["axis"])
    indices = channels.graph.values[node.inputs[1] or ""].data
    if indices is None:
        _hold_inputs(channels, node)
    elif x in channels.lanes:
        channels.settle(first_output(node), channels.full(x).take(indices, axis))


def source_of(node: Node, shape: tuple[int, ...]) -> Ints:
    """For each element of what a `copy` makes, the element of its input that it is."""
    view = views.of_node(node, shape)
    at = np.full(shape, view.offset, np.int64)
    for axis, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        at += (np.arange(extent) * stride).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    return at


_RULES: dict[str, Callable[[Channels, Node], None]] = {
    **dict.fromkeys(MAKERS, _linear),
    "dwconv": _depthwise,
    **dict.fromkeys(("pool", "resize", "instance_norm", "lut"), _planewise),
    **dict.fromkeys(("unary", "cast", "binary", "where"), _elementwise),
    "concat": _concat,
    "copy": _copy,
    "reshape": _reshape,
    **dict.fromkeys(("softmax", "layer_norm", "cumsum"), _along_axis),
    "reduce": _reduce,
    "pad": _pad,
    "gather": _gather,
}
