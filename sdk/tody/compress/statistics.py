"""What the layers of a graph take in: how much each channel matters to them, and how well others can stand in for it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Node
from ..convert.rewrite import first_input
from ..convert.ties import HELD, MAKERS, Channels, Ints
from .linear import product, solve
from .observe import Probe, Sample

Floats = NDArray[np.float64]

MAX_CHANNELS = 4096  # of an input whose channels are compared with one another; above, each is looked at by itself
_MOST_ROWS = 4096  # pixels of one sample
_RIDGE = 1e-3  # of the mean square of a channel, at least: what keeps the least squares steady


@dataclass
class Inlet:
    """The input of a layer.

    Attributes:
        node: the layer.
        of: the channel (convert/ties.py) of each of its input channels.
        power: mean products of its input channels [groups, C, C] over pixels and samples.
        weight: squared weights that meet each input channel [groups, C].
        ridge: of the least squares, as a share of the mean square of a channel: more where few rows were seen.
    """

    node: Node
    of: Ints
    power: Floats
    weight: Floats
    ridge: float

    def elimination(self) -> Elimination:
        """A fresh elimination of its channels."""
        return Elimination(self)

    def stand_in(self, group: int, stays: NDArray[np.bool_]) -> Floats:
        """What the channels that stay give for those that go, by least squares: [gone, stay]."""
        power = self.power[group]
        kept = power[np.ix_(stays, stays)]
        ridge = self.ridge * max(float(np.trace(kept)) / max(len(kept), 1), 1e-30)
        found: Floats = solve((kept + ridge * np.eye(len(kept)))[None], power[np.ix_(stays, ~stays)][None])[0].T
        return found


class Elimination:
    """Channels leave the input of a layer one by one: what each costs it, as a share of all that it computes."""

    def __init__(self, inlet: Inlet) -> None:
        groups, width = inlet.weight.shape
        self._of = inlet.of.reshape(groups, width)
        mean = np.trace(inlet.power, axis1=1, axis2=2) / width
        ridge = inlet.ridge * np.maximum(mean, 1e-30)
        whole = np.broadcast_to(np.eye(width), inlet.power.shape)
        self._inverse = solve(inlet.power + ridge[:, None, None] * whole, whole)
        self._weight = inlet.weight.copy()
        self._all = float((inlet.weight * np.diagonal(inlet.power, axis1=1, axis2=2)).sum()) or 1.0

    def costs(self, channels: Ints) -> Floats:
        """The squared error at the layer's output when each of these leaves and the rest stands in for it."""
        each = self._weight / np.maximum(np.diagonal(self._inverse, axis1=1, axis2=2), 1e-30)
        totals = np.bincount(self._of.reshape(-1), each.reshape(-1), int(max(self._of.max(), channels.max())) + 1)
        found: Floats = totals[channels] / self._all
        return found

    def drop(self, channels: Sequence[int]) -> None:
        """Let channels leave."""
        for group, of in enumerate(self._of):
            gone = np.flatnonzero(np.isin(of, channels))
            if len(gone):
                inverse = self._inverse[group]
                columns = inverse[:, gone]
                inverse -= product(columns[None], np.linalg.solve(columns[gone], columns.T)[None])[0]
                inverse[:, gone] = inverse[gone] = 0.0
                self._weight[group, gone] = 0.0


def inlets(channels: Channels, samples: Sequence[Sample]) -> list[Inlet]:
    """The inputs of all layers that take channels which could leave.

    Args:
        channels: of the graph.
        samples: inputs of the graph; without any, channels count as unrelated, and as strong as the weights that make them.
    """
    layers = [node for node in channels.graph.nodes if node.op in MAKERS and _of(channels, node) is not None]
    power, counts = _powers(channels, layers, samples) if len(samples) else ({}, {})
    found = []
    for node in layers:
        weights = channels.graph.values[node.inputs[1] or ""].data
        of = _of(channels, node)
        assert weights is not None and of is not None
        weight = np.square(weights.astype(np.float64)).sum(axis=(1, 2))
        x, ridge = first_input(node), _RIDGE
        if x in power:
            seen, ridge = _blocks(power[x], len(weight)), max(_RIDGE, weight.shape[1] / counts[x])
        else:
            seen = np.eye(weight.shape[1]) * _strength(channels, of).reshape(len(weight), -1, 1)
        found.append(Inlet(node, of, seen, weight, ridge))
    return found


def _of(channels: Channels, node: Node) -> Ints | None:
    of = channels.last(first_input(node)) if channels.graph.values[node.inputs[1] or ""].constant else None
    return of if of is not None and (of != HELD).any() else None


def _strength(channels: Channels, of: Ints) -> Floats:
    """The squared weights that make each channel."""
    total = np.zeros(int(of.max()) + 1)
    for node in channels.graph.nodes:
        made = channels.last(node.outputs[0]) if node.op in MAKERS else None
        weights = channels.graph.values[node.inputs[1] or ""].data if made is not None else None
        if made is not None and weights is not None:
            each = np.square(weights.astype(np.float64)).sum(axis=(2, 3)).reshape(-1)
            np.add.at(total, made[made < len(total)], each[made < len(total)])
    return total[of]


def _powers(channels: Channels, layers: Sequence[Node], samples: Sequence[Sample]) -> tuple[dict[str, Floats], dict[str, int]]:
    """Mean products of the channels of every layer's input ([C, C], or [C] where there are too many), and of how many rows."""
    total: dict[str, Floats] = {}
    wanted = {first_input(node) for node in layers}
    count = dict.fromkeys(wanted, 0)

    def visit(name: str, array: NDArray[np.float32]) -> None:
        if name in wanted:
            rows = array.reshape(-1, array.shape[-1])
            rows = rows[:: -(-len(rows) // _MOST_ROWS)]
            count[name] += len(rows)
            single = rows.shape[1] > MAX_CHANNELS
            powers = np.square(rows).sum(0) if single else product(rows.T[None], rows[None])[0]
            total[name] = total.get(name, 0.0) + powers.astype(np.float64)

    probe = Probe(channels.graph)
    for sample in samples:
        probe.run(sample, visit)
    return {name: each / count[name] for name, each in total.items()}, count


def _blocks(power: Floats, groups: int) -> Floats:
    """The products within each group: [groups, C, C]."""
    if power.ndim == 1:
        return np.eye(len(power) // groups) * power.reshape(groups, -1, 1)
    width = len(power) // groups
    return np.stack([power[i * width : (i + 1) * width, i * width : (i + 1) * width] for i in range(groups)])
