"""Quantise the weights of a graph, layer by layer, each rounded so that it makes up for what came before it.

The layers are taken in stages, in the order of the graph. In each stage the float32 model and the model as quantised so far
run on the same samples, and each layer of the stage learns what its inputs are like (`moments.py`). From that follow steps,
weights, their rounding, and the bias (`levels.py`). The first layers of a stage make up for all error that reaches them: their
weights are fitted to give the float32 model's outputs on the inputs of the quantised one. The layers behind them in the same
stage only see to their own rounding, because what reaches them is about to be corrected: two corrections of one error are an
error.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph, Node, Quant, Value
from ..convert.rewrite import add_constant, add_value, drop_dead, first_input, first_output, insert_before, slot
from ..convert.sparse import gains_from_blocks
from . import palette
from .levels import DAMPING, Nearest, correct_bias, refit, rescale, round_weights, scales, short_biases, short_steps, uniform
from .moments import Moments, from_matrices, matrices, positions, rows
from .observe import Probe, Sample
from .place import LINEAR
from .sparsity import sparsify

Array = NDArray[Any]
Progress = Callable[[int, int], None]  # sample runs done, and in all

SAMPLES = 32  # at most, spread over those given: more cost time and change little
PLACES = 512  # of a layer's output that are looked at in each of them
PALETTE_BITS = 6  # and less: levels of their own for each layer
MAX_BYTES = 1 << 29  # of the moments of one stage
_BIAS_RANGE = 2.0**30  # of an int32 bias: leaves as much again for the products
_SUM_RANGE = 0.97  # of the range of int32, of a sum before the weights are rounded


@dataclass
class _Layer:
    """A constant of weights and the nodes that use it."""

    bits: int
    nodes: list[Node]
    sources: list[str]  # for each node, the value of the float32 model that its input stands for
    groups: int
    moments: Moments
    first: bool = False  # of its stage: no other layer of it lies before
    rows: dict[int, Array] = field(default_factory=dict)  # of each node, as the float32 model sees the current sample


def quantise_weights(
    graph: Graph,
    reference: Graph,
    samples: Sequence[Sample],
    bits: Mapping[str, int],
    *,
    stages: int = 4,
    sparsity: float = 0.0,
    progress: Progress | None = None,
) -> None:
    """Turn float32 weights into integer constants with a cast behind them, and correct the biases.

    Args:
        graph: the model with the casts of its activations in place; changed.
        reference: the float32 model that it shall stay close to: the same values under the same names, without casts.
        samples: calibration inputs; none: weights are rounded to the nearest level, biases stay.
        bits: output of a layer (one of `place.LINEAR`, with constant weights) -> bits of its weights, 2 to 16. Others stay.
        stages: how often the model runs anew with what was quantised so far.
        sparsity: share of the blocks of 1x4 weights that become 0, in each layer that is faster without them
            (`convert/sparse.py`). Blocks that are 0 stay 0 in any case.
        progress: called after each pair of runs.
    """
    layers = _layers(graph, bits)
    parts, done = _parts(layers, stages), 0
    samples = samples[:: -(-len(samples) // SAMPLES) or 1]
    for part in parts:
        _mark_first(graph, part)
        for number, sample in enumerate(samples):
            if not number:
                probes = Probe(reference), Probe(graph)
            _look(part, *probes, sample, number, graph)
            done += 1
            if progress:
                progress(done, len(parts) * len(samples))
        for layer in part:
            _quantise(graph, layer, sparsity)
    drop_dead(graph)


def _layers(graph: Graph, bits: Mapping[str, int]) -> list[_Layer]:
    """One for each constant, in the order of first use. Weights that nodes share are quantised once, for all of them."""
    makers = graph.producer()
    found: dict[str, _Layer] = {}
    for node in graph.nodes:
        if node.op not in LINEAR or first_output(node) not in bits:
            continue
        name, wanted = node.inputs[1] or "", bits[first_output(node)]
        weights = graph.values[name].data
        if weights is None or weights.dtype != np.float32:
            continue
        if name not in found:
            groups, _, columns = matrices(node, weights).shape
            found[name] = _Layer(wanted, [], [], groups, Moments(groups, columns))
        found[name].bits = max(found[name].bits, wanted)
        found[name].nodes.append(node)
        found[name].sources.append(_source(graph, makers, first_input(node)))
    return list(found.values())


def _source(graph: Graph, makers: Mapping[str, Node], name: str) -> str:
    """The value that a chain of casts began with."""
    while name in makers and makers[name].op == "cast":
        name = first_input(makers[name])
    return name


def _parts(layers: list[_Layer], stages: int) -> list[list[_Layer]]:
    """The layers in about so many runs of neighbours, more where their moments would take too much memory."""
    length = -(-len(layers) // max(1, stages))
    parts: list[list[_Layer]] = []
    for layer in layers:
        full = parts and (
            len(parts[-1]) >= length or sum(other.moments.nbytes for other in parts[-1]) + layer.moments.nbytes > MAX_BYTES
        )
        if full or not parts:
            parts.append([])
        parts[-1].append(layer)
    return parts


def _mark_first(graph: Graph, part: list[_Layer]) -> None:
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


def _look(part: list[_Layer], float_probe: Probe, probe: Probe, sample: Sample, number: int, graph: Graph) -> None:
    """Run both models on a sample and add what the layers see to their moments."""
    float_users: dict[str, list[tuple[_Layer, int]]] = {}
    users: dict[str, list[tuple[_Layer, int]]] = {}
    for layer in part:
        for i, (node, source) in enumerate(zip(layer.nodes, layer.sources, strict=True)):
            if layer.first:
                float_users.setdefault(source, []).append((layer, i))
            users.setdefault(first_input(node), []).append((layer, i))

    def see(layer: _Layer, i: int, array: Array) -> Array:
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


def _quantise(graph: Graph, layer: _Layer, sparsity: float) -> None:
    """Replace the weights of a layer by integers, and its biases."""
    node, moments = layer.nodes[0], layer.moments
    value = graph.values[node.inputs[1] or ""]
    assert value.data is not None
    weights = matrices(node, value.data)
    fitted = refit(weights, moments) if layer.first and moments.count else weights
    kept = _kept(graph, layer, weights, sparsity)
    floor, unit = _floor(graph, layer, fitted), units(graph, node)[1]
    step, nearest = _levels(fitted * kept, layer, floor)
    step = short_steps(step, unit)
    levels = _rounded(fitted, step, nearest, moments, kept)
    if moments.count and layer.bits <= PALETTE_BITS:
        better = step * rescale(fitted / step[..., None], levels, moments)
        step = short_steps(np.maximum(better, floor).astype(np.float32), unit)
        levels = _rounded(fitted, step, nearest, moments, kept)
    for each in layer.nodes:
        bias = _bias(graph, each, step.shape)
        if moments.count:
            bias = correct_bias(bias, weights, levels * step[..., None], moments)
        if moments.count or bias.any():
            _correct(graph, each, short_biases(bias, step, *units(graph, each)))
    _store(graph, layer, from_matrices(node, levels, value.shape), step)


def _kept(graph: Graph, layer: _Layer, weights: Array, sparsity: float) -> Array:
    """Which weights are not to be 0, as `weights`: all but those of blocks that are 0 or matter least to the outputs."""
    shape = graph.values[layer.nodes[0].inputs[1] or ""].shape
    if len(shape) != 4:  # of dwconv
        return np.ones(weights.shape, bool)
    strength = weights
    if layer.moments.count:
        strength = weights * np.sqrt(layer.moments.power() + DAMPING * layer.moments.power().mean())[:, None, :]
    wanted = sparsity if all(gains_from_blocks(graph, node) for node in layer.nodes) else 0.0
    kept = sparsify(strength.reshape(shape), wanted) & sparsify(weights.reshape(shape), 0.0)
    return kept.reshape(weights.shape)


def _rounded(weights: Array, step: Array, nearest: Nearest, moments: Moments, kept: Array) -> Array:
    target = weights / step[..., None]
    if not moments.count:
        return nearest(target) * kept
    split, damping = moments.split, DAMPING * moments.scarcity
    return moments.join(round_weights(split(target), moments.gram(), nearest, damping, kept=split(kept)))


def _levels(weights: Array, layer: _Layer, floor: Array) -> tuple[Array, Nearest]:
    """The step of each output, and the levels of the layer's weights: a palette of few bits, even steps of many."""
    power = layer.moments.power()
    if layer.bits > PALETTE_BITS:
        return scales(weights, layer.bits, power, floor), uniform(layer.bits)
    step = palette.steps(weights, floor)
    return step, palette.nearest(palette.palette(weights, step, power, layer.bits))


def _floor(graph: Graph, layer: _Layer, weights: Array) -> Array:
    """The smallest step of each output with which sums fit into int32.

    Of int8 it is the bias that must, in units of input step times weight step; of int16, whose products may be as large, all of
    a sum: products and bias together, whatever the inputs are.
    """
    makers = graph.producer()
    floors = [np.zeros((layer.groups, 1))]
    for node in layer.nodes:
        maker = makers.get(first_input(node))
        quant = graph.values[first_input(maker)].quant if maker is not None and maker.op == "cast" else None
        if quant is None:
            continue
        floors.append(np.abs(_bias(graph, node, (layer.groups, -1))) / (_BIAS_RANGE * quant.scales[0]))
        if quant.bits == 16:
            size = np.abs(weights).sum(-1) * (1 << 15)
            floors[-1] = (size + np.abs(_bias(graph, node, (layer.groups, -1))) / quant.scales[0]) / (_SUM_RANGE * 2.0**31)
    return np.asarray(np.maximum.reduce(np.broadcast_arrays(*floors)))


def units(graph: Graph, node: Node) -> tuple[float, float]:
    """Input step, and what multipliers are to the steps of weights: input step / output step; zeros where one is missing."""
    source, users = graph.producer().get(first_input(node)), graph.consumers().get(first_output(node), [])
    taken = None if source is None or source.op != "cast" else graph.values[first_input(source)].quant
    made = next((q for user in users if user.op == "cast" and (q := graph.values[first_output(user)].quant)), None)
    return (0.0, 0.0) if taken is None or made is None else (taken.scale, taken.scale / made.scale)


def _bias(graph: Graph, node: Node, shape: tuple[int, ...]) -> Array:
    """The bias of a layer as [groups, outputs], zeros where there is none."""
    name = slot(node, 2)
    data = None if name is None else graph.values[name].data
    return np.zeros((shape[0], 1)) if data is None else data.astype(np.float64).reshape(shape)


def _correct(graph: Graph, node: Node, bias: Array) -> None:
    """Give a layer a bias of its own, unless its bias is made by another node."""
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


def _store(graph: Graph, layer: _Layer, data: Array, step: Array) -> None:
    """A constant of integers, as wide as the layer's input, with a cast behind it in place of the float32 constant."""
    old = layer.nodes[0].inputs[1] or ""
    pack = graph.values[old].pack
    taken = graph.producer().get(first_input(layer.nodes[0]))
    source = None if taken is None or taken.op != "cast" else graph.values[first_input(taken)].quant
    quant = Quant(tuple(map(float, step.reshape(-1))), bits=16 if source is not None and source.bits == 16 else 8)
    name = graph.fresh(f"{old}:{quant.dtype}")
    graph.values[name] = Value(name, data.shape, quant.dtype, data.astype(quant.dtype), pack, quant)
    real = add_value(graph, f"{old}:real", data.shape)
    graph.values[real].pack = pack
    insert_before(graph, layer.nodes[0], Node("cast", [name], [real], {}, layer.nodes[0].source))
    for node in layer.nodes:
        node.inputs[1] = real
