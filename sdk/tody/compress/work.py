"""The work of a graph's layers, in multiply-adds or parameters, while channels leave it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..convert.graph import Node
from ..convert.ties import MAKERS, Channels, Ints


class Work:
    """How much work the layers of a graph do, while channels leave it.

    Args:
        channels: of the graph.
        count: "macs" or "parameters".
    """

    def __init__(self, channels: Channels, count: str) -> None:
        self._each: list[float] = []  # work per pair of input and output channel
        self._sides: list[list[int]] = []  # channels left: [input, output]; [1, output] for depthwise
        self._layers: dict[int, list[tuple[int, int, int]]] = {}  # channel -> (layer, side, how many channels of it)
        self._widths: list[int] = []  # channels left of each value, once for all values of the same channels
        self._values: dict[int, list[tuple[int, int]]] = {}  # channel -> (value, how many channels of it)
        for of in {lanes.of.tobytes(): lanes.of for lanes in channels.lanes.values()}.values():
            for channel, many in _counted(channels.roots(of)):
                self._values.setdefault(channel, []).append((len(self._widths), many))
            self._widths.append(len(of))
        for node in channels.graph.nodes:
            if node.op in (*MAKERS, "dwconv") and channels.graph.values[node.inputs[1] or ""].constant:
                self._add(channels, node, count)

    def _add(self, channels: Channels, node: Node, count: str) -> None:
        values = channels.graph.values
        x, w, y = (values[name or ""].shape for name in (node.inputs[0], node.inputs[1], node.outputs[0]))
        at = x if node.op == "deconv" else y
        places = math.prod(at[:-1]) if count == "macs" else 1
        groups, taps = (1, w[0]) if node.op == "dwconv" else (w[0], w[2])
        layer = len(self._each)
        self._each.append(places * taps / groups)
        self._sides.append([1 if node.op == "dwconv" else x[-1], y[-1]])
        for side, name in enumerate((node.inputs[0], node.outputs[0])):
            of = channels.last(name) if side or node.op != "dwconv" else None
            if of is not None:
                for channel, many in _counted(of):
                    self._layers.setdefault(channel, []).append((layer, side, many))

    def total(self) -> int:
        return round(sum(each * a * b for each, (a, b) in zip(self._each, self._sides, strict=True)))

    def _leave(self, block: Sequence[int]) -> dict[int, list[int]]:
        """The sides of the layers that change when channels leave."""
        sides: dict[int, list[int]] = {}
        for channel in block:
            for layer, side, many in self._layers.get(channel, ()):
                sides.setdefault(layer, list(self._sides[layer]))[side] -= many
        return sides

    def _narrow(self, block: Sequence[int]) -> dict[int, int]:
        """The widths of the values that change when channels leave."""
        widths: dict[int, int] = {}
        for channel in block:
            for value, many in self._values.get(channel, ()):
                widths[value] = widths.get(value, self._widths[value]) - many
        return widths

    def saved(self, block: Sequence[int]) -> float:
        """The work that goes when these channels leave; 0 if they must not, because some value would have none left."""
        if any(left < 1 for left in self._narrow(block).values()):
            return 0.0
        sides = self._leave(block)
        return sum(self._each[i] * (self._sides[i][0] * self._sides[i][1] - a * b) for i, (a, b) in sides.items())

    def take(self, block: Sequence[int]) -> None:
        """Let these channels leave."""
        for i, width in self._narrow(block).items():
            self._widths[i] = width
        for i, left in self._leave(block).items():
            self._sides[i] = left


def _counted(of: Ints) -> Iterator[tuple[int, int]]:
    """Each channel and how often it occurs."""
    for channel, many in zip(*np.unique(of, return_counts=True), strict=True):
        yield int(channel), int(many)
