"""Layers whose weights are being rounded, a few at a time, and what each learns of its inputs.

The layers are taken in stages, in the order of the graph. In each stage the float32 model and the model as rounded so far
run on the same samples, and each layer of the stage learns what its inputs are like (`moments.py`). The first layers of a stage
make up for all error that reaches them: their weights are fitted to give the float32 model's outputs on the inputs of the
rounded one. The layers behind them in the same stage only see to their own rounding, because what reaches them is about to be
corrected: two corrections of one error are an error.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph, Node
from ..convert.rewrite import add_constant, first_input, first_output, slot
from .levels import DAMPING, Nearest, refit, round_weights
from .moments import Moments, matrices, positions, rows
from .observe import Probe, Sample
from .place import LINEAR

Array = NDArray[Any]
Progress = Callable[[int, int], None]  # sample runs done, and in all

STAGES = {"fast": 1, "normal": 4, "best": 12}  # how often the model runs anew while weights are rounded, by effort
SAMPLES = 32  # at most, spread over those given: more cost time and change little
PLACES = 512  # of a layer's output that are looked at in each of them
MAX_BYTES = 1 << 29  # of the moments of one stage


@dataclass
class Layer:
    """A constant of weights and the nodes that use it."""

    bits: int
    nodes: list[Node]
    sources: list[str]  # for each node, the value of the float32 model that its input stands for
    groups: int
    moments: Moments
    first: bool = False  # of its stage: no other layer of it lies before
    rows: dict[int, Array] = field(default_factory=dict)  # of each node, as the float32 model sees the current sample

    def fitted(self, weights: Array) -> Array:
        """The weights [groups, outputs, columns], made to fit the inputs if the layer is one of the first of its stage."""
        return refit(weights, self.moments) if self.first and self.moments.count else weights

    def rounded(self, weights: Array, step: Array, nearest: Nearest, kept: Array) -> Array:
        """Levels for weights, in units of a step for each output, so that the outputs change least.

        Args:
            weights: [groups, outputs, columns].
            step: [groups, outputs].
            nearest: of `round_weights`.
            kept: which weights are not to be 0, as `weights`.
        """
        target, moments = weights / step[..., None], self.moments
        if not moments.count:
            return nearest(target) * kept
        split, damping = moments.split, DAMPING * moments.scarcity
        return moments.join(round_weights(split(target), moments.gram(), nearest, damping, kept=split(kept)))


def in_stages(
    graph: Graph,
    reference: Graph,
    samples: Sequence[Sample],
    bits: Mapping[str, int],
    stages: int,
    progress: Progress | None = None,
) -> Iterator[Layer]:
    """Each layer once it has seen its inputs, to have its weights rounded before the next one is asked for.

    Args:
        graph: the model that is being rounded.
        reference: the float32 model that it shall stay close to: the same values under the same names, without casts.
        samples: calibration inputs; none: the layers see nothing.
        bits: output of a layer (one of `place.LINEAR`, with constant weights) -> bits of its weights. Others stay.
        stages: how often the model runs anew with what was rounded so far.
        progress: called after each pair of runs.
    """
    layers = _layers(graph, bits)
    parts, done = _parts(layers, stages), 0
    samples = samples[:: -(-len(samples) // SAMPLES) or 1]
    exact = Probe(reference) if len(samples) and parts else None
    for part in parts:
        _mark_first(graph, part)
        probe = Probe(graph) if exact else None
        for number, sample in enumerate(samples):
            assert exact is not None and probe is not None
            _look(part, exact, probe, sample, number, graph)
            done += 1
            if progress:
                progress(done, len(parts) * len(samples))
        yield from part


def _layers(graph: Graph, bits: Mapping[str, int]) -> list[Layer]:
    """One for each constant, in the order of first use. Weights that nodes share are rounded once, for all of them."""
    makers = graph.producer()
    found: dict[str, Layer] = {}
    for node in graph.nodes:
        if node.op not in LINEAR or first_output(node) not in bits:
            continue
        name, wanted = node.inputs[1] or "", bits[first_output(node)]
        weights = graph.values[name].data
        if weights is None or weights.dtype != np.float32:
            continue
        if name not in found:
            groups, _, columns = matrices(node, weights).shape
            found[name] = Layer(wanted, [], [], groups, Moments(groups, columns))
        found[name].bits = max(found[name].bits, wanted)
        found[name].nodes.append(node)
        found[name].sources.append(_source(graph, makers, first_input(node)))
    return list(found.values())


def _source(graph: Graph, makers: Mapping[str, Node], name: str) -> str:
    """The value that a chain of casts began with."""
    while name in makers and makers[name].op == "cast":
        name = first_input(makers[name])
    return name


def _parts(layers: list[Layer], stages: int) -> list[list[Layer]]:
    """The layers in about so many runs of neighbours, more where their moments would take too much memory."""
    length = -(-len(layers) // max(1, stages))
    parts: list[list[Layer]] = []
    for layer in layers:
        full = parts and (
            len(parts[-1]) >= length or sum(other.moments.nbytes for other in parts[-1]) + layer.moments.nbytes > MAX_BYTES
        )
        if full or not parts:
            parts.append([])
        parts[-1].append(layer)
    return parts


def _mark_first(graph: Graph, part: list[Layer]) -> None:
    """Find the layers of a stage that no other layer of it comes before."""
    own = {first_output(node): layer for layer in part for node in layer.nodes}
    behind: set[str | None] = set()
    for layer in part:
        layer.first = True
    for node in graph.nodes:
        reached = not behind.isdisjoint(node.inputs)
        if first_output(node) in own and reached:
            own[first_output(node)].first = False
        if reached or first_output(node) in own:
            behind.update(node.outputs)


def _look(part: list[Layer], float_probe: Probe, probe: Probe, sample: Sample, number: int, graph: Graph) -> None:
    """Run both models on a sample and add what the layers see to their moments."""
    float_users: dict[str, list[tuple[Layer, int]]] = {}
    users: dict[str, list[tuple[Layer, int]]] = {}
    for layer in part:
        for i, (node, source) in enumerate(zip(layer.nodes, layer.sources, strict=True)):
            if layer.first:
                float_users.setdefault(source, []).append((layer, i))
            users.setdefault(first_input(node), []).append((layer, i))

    def see(layer: Layer, i: int, array: Array) -> Array:
        shape = graph.values[first_output(layer.nodes[i])].shape
        places = positions(shape, PLACES, np.random.default_rng((number, i)))
        return rows(layer.nodes[i], array, layer.groups, shape, places)

    def visit_float(name: str, array: Array) -> None:
        for layer, i in float_users.get(name, ()):
            layer.rows[i] = see(layer, i, array)

    def visit(name: str, array: Array) -> None:
        for layer, i in users.get(name, ()):
            seen = see(layer, i, array)
            layer.moments.add(layer.rows.pop(i, seen), seen)

    float_probe.run(sample, visit_float, float_users)
    probe.run(sample, visit, users)


def bias_of(graph: Graph, node: Node, shape: tuple[int, ...]) -> Array:
    """The bias of a layer as [groups, outputs], zeros where there is none."""
    name = slot(node, 2)
    data = None if name is None else graph.values[name].data
    return np.zeros((shape[0], 1)) if data is None else data.astype(np.float64).reshape(shape)


def correct(graph: Graph, node: Node, bias: Array) -> None:
    """Give a layer a bias [groups, outputs] of its own, unless its bias is made by another node."""
    old = slot(node, 2)
    if old is not None and not graph.values[old].constant:
        return
    data = bias.astype(np.float32)
    name = add_constant(
        graph,
        f"{first_output(node)}:bias",
        data.reshape(-1) if node.op == "dwconv" else data,
        "plain" if node.op == "dwconv" else "panels",
    )
    node.inputs = [*node.inputs[:2], name, *node.inputs[3:]]
