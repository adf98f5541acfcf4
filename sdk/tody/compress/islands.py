"""Find layers at the borders of a model that are worth their time in float32."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..convert.graph import Graph, Node
from ..convert.report import macs
from ..convert.rewrite import first_output
from . import place
from .observe import Array, Probe, Sample
from .timing import Spare

GOAL = 18.0  # dB: below, what is wrong in an output is more than an eighth of what is right
BUDGET = 0.15  # of the model's multiply-adds that may stay in float32
WEIGHTS = 0.02  # of its weights that may: they take four times the bytes
GAIN = 0.02  # dB: the least that a layer must bring to be considered
SPARED = 0.25  # dB: that the last layers must bring to stay
WORTH = 2.0  # dB: the least that all of them together must bring
SAMPLES = 8
LEAST = 1e-12  # noise to signal that is told from none
REASON = "more exact so"


def islands(
    graph: Graph,
    samples: Sequence[Sample],
    choice: place.Choice,
    kept: Mapping[str, str],
    *,
    goal: float = GOAL,
    io_is_integer: bool = False,
    spare: Spare | None = None,
) -> dict[str, str]:
    """Layers that shall stay in float32, with the reason.

    Nothing stays if rounding the activations leaves the outputs better than `goal`, on average. Otherwise layers at the borders
    to float32 are tried, those with nothing but float32 before them, or behind them: there the rounding of a value is saved,
    not only that of weights. In each turn the one that brings most is added, until the goal is met, `BUDGET` or `WEIGHTS` is
    used up, or no layer brings anything. Of these the first few stay that bring all but `SPARED` of what all do, if that is
    `WORTH` it.

    Args:
        graph: float32, after `place.prepare`; left as it is.
        samples: the first few are used.
        choice: ranges for the graph without these islands.
        kept: what stays in float32 anyway.
        goal: in dB, the mean over the outputs.
        spare: time that may be spent, instead of `BUDGET` and `WEIGHTS`, and without regard to a goal.
    """
    trial = _Trial(graph, samples[:SAMPLES], choice, io_is_integer)
    reached = [trial.sqnr(kept)]
    added: dict[str, str] = {}
    hopeless: set[str] = set()
    left = spare.left if spare else BUDGET * macs(graph)
    goal = math.inf if spare else goal
    weights = _weights(graph)
    room = math.inf if spare else WEIGHTS * sum(weights.values())
    while reached[-1] < goal:
        integer = place.decide(graph, {**kept, **added}, io_is_integer).integer
        prices = {y: spare.prices.get(y, 0.0) if spare else cost for y, cost in _borders(graph, integer)}
        costs = {y: cost for y, cost in prices.items() if cost <= left and weights[y] <= room and y not in hopeless}
        tried = {y: trial.sqnr({**kept, **added, y: REASON}) for y in costs}
        hopeless.update(y for y in tried if tried[y] < reached[-1] + GAIN)
        name = max(tried, key=lambda y: tried[y], default="")
        if not name or name in hopeless:
            break
        added[name] = REASON
        reached.append(tried[name])
        left -= costs[name]
        room -= weights[name]
    if reached[-1] < min(goal, reached[0] + WORTH):
        return {}
    enough = next(i for i, value in enumerate(reached) if value >= min(goal, max(reached) - SPARED))
    return dict(list(added.items())[:enough])


def _weights(graph: Graph) -> dict[str, int]:
    """How many weights each layer has; 0 where they are computed."""
    layers = [node for node in graph.nodes if node.op in place.HEAVY]
    datas = [graph.values[node.inputs[1] or ""].data for node in layers]
    return {first_output(node): 0 if data is None else data.size for node, data in zip(layers, datas, strict=True)}


def _borders(graph: Graph, integer: set[Node]) -> list[tuple[str, int]]:
    """Layers with nothing but float32 before them, or nothing but float32 behind them, and their multiply-adds."""
    before: set[str | None] = set()  # values that int8 operators had to do with
    for node in graph.nodes:
        if (node in integer and node.op in place.HEAVY) or not before.isdisjoint(node.inputs):
            before.update(node.outputs)
    behind: set[str | None] = set()  # values that an int8 layer will have to do with
    found = []
    for node in reversed(graph.nodes):
        layer = node in integer and node.op in place.HEAVY
        last = behind.isdisjoint(node.outputs)
        if layer and (last or before.isdisjoint(node.inputs)):
            found.append((first_output(node), macs(Graph([node], graph.values))))
        if layer or not last:
            behind.update(node.inputs)
    return found[::-1]


class _Trial:
    """Runs the graph with rounded activations and compares."""

    def __init__(self, graph: Graph, samples: Sequence[Sample], choice: place.Choice, io_is_integer: bool) -> None:
        self._graph, self._samples, self._choice, self._io = graph, samples, choice, io_is_integer
        probe = Probe(graph)
        self._right = [list(probe.run(sample).values()) for sample in samples]

    def sqnr(self, kept: Mapping[str, str]) -> float:
        """The mean of the outputs' SQNR in dB, with these layers in float32."""
        work = self._graph.copy()
        integer = place.decide(work, kept, self._io).integer
        place.quantise(work, integer, self._choice)
        probe = Probe(work)
        got = [list(probe.run(sample).values()) for sample in self._samples]
        pairs = zip(zip(*self._right, strict=True), zip(*got, strict=True), strict=True)
        return float(np.mean([_sqnr(*pair) for pair in pairs]))


def _sqnr(right: Sequence[Array], got: Sequence[Array]) -> float:
    """Of one output: from the mean over samples of noise to signal, so that no sample with large values decides alone."""
    ratios = [LEAST]
    for a, b in zip(right, got, strict=True):
        both = np.isfinite(a) & np.isfinite(b) if a.dtype == np.float32 else np.zeros(a.shape, bool)
        signal = float(np.sum(np.square(a[both], dtype=np.float64)))
        if signal > 0:
            ratios.append(float(np.sum(np.square((a - b)[both], dtype=np.float64))) / signal)
    return -10 * float(np.log10(np.mean(ratios)))
