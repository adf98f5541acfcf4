"""Quantise the weights of a graph, layer by layer (`stages.py`), each rounded so that it makes up for what came before it.

From what a layer's inputs are like follow steps, weights, their rounding, and the bias (`levels.py`).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph, Node, Quant, Value
from ..convert.rewrite import add_value, drop_dead, first_input, first_output, insert_before
from ..convert.slopes import prelu_behind
from ..convert.sparse import gains_from_blocks
from . import palette
from .levels import DAMPING, Nearest, correct_bias, rescale, scales, short_biases, short_steps, uniform
from .moments import from_matrices, matrices
from .observe import Sample
from .sparsity import sparsify
from .stages import Layer, Progress, bias_of, correct, in_stages

Array = NDArray[Any]

PALETTE_BITS = 6  # and less: levels of their own for each layer
_BIAS_RANGE = 2.0**30  # of an int32 bias: leaves as much again for the products
_SUM_RANGE = 0.97  # of the range of int32, of a sum before the weights are rounded


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
        stages: of `in_stages`.
        sparsity: share of the blocks of 1x4 weights that become 0, in each layer that is faster without them
            (`convert/sparse.py`). Blocks that are 0 stay 0 in any case.
        progress: called after each pair of runs.
    """
    for layer in in_stages(graph, reference, samples, bits, stages, progress):
        _quantise(graph, layer, sparsity)
    drop_dead(graph)


def _quantise(graph: Graph, layer: Layer, sparsity: float) -> None:
    """Replace the weights of a layer by integers, and its biases."""
    node, moments = layer.nodes[0], layer.moments
    value = graph.values[node.inputs[1] or ""]
    assert value.data is not None
    weights = matrices(node, value.data)
    fitted = layer.fitted(weights)
    kept = _kept(graph, layer, weights, sparsity)
    floor, unit = _floor(graph, layer, fitted), units(graph, node)[1]
    step, nearest = _levels(fitted * kept, layer, floor)
    step = short_steps(step, unit)
    levels = layer.rounded(fitted, step, nearest, kept)
    if moments.count and layer.bits <= PALETTE_BITS:
        better = step * rescale(fitted / step[..., None], levels, moments)
        step = short_steps(np.maximum(better, floor).astype(np.float32), unit)
        levels = layer.rounded(fitted, step, nearest, kept)
    for each in layer.nodes:
        bias = bias_of(graph, each, step.shape)
        if moments.count:
            bias = correct_bias(bias, weights, levels * step[..., None], moments)
        if moments.count or bias.any():
            correct(graph, each, short_biases(bias, step, *units(graph, each)))
    _store(graph, layer, from_matrices(node, levels, value.shape), step)


def _kept(graph: Graph, layer: Layer, weights: Array, sparsity: float) -> Array:
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


def _levels(weights: Array, layer: Layer, floor: Array) -> tuple[Array, Nearest]:
    """The step of each output, and the levels of the layer's weights: a palette of few bits, even steps of many."""
    power = layer.moments.power()
    if layer.bits > PALETTE_BITS:
        return scales(weights, layer.bits, power, floor), uniform(layer.bits)
    step = palette.steps(weights, floor)
    return step, palette.nearest(palette.palette(weights, step, power, layer.bits))


def _floor(graph: Graph, layer: Layer, weights: Array) -> Array:
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
        floors.append(np.abs(bias_of(graph, node, (layer.groups, -1))) / (_BIAS_RANGE * quant.scales[0]))
        if quant.bits == 16:
            size = np.abs(weights).sum(-1) * (1 << 15)
            floors[-1] = (size + np.abs(bias_of(graph, node, (layer.groups, -1))) / quant.scales[0]) / (_SUM_RANGE * 2.0**31)
    return np.asarray(np.maximum.reduce(np.broadcast_arrays(*floors)))


def units(graph: Graph, node: Node) -> tuple[float, float]:
    """Input step, and what multipliers are to the steps of weights: input step / output step; zeros where one is missing."""
    source, consumers = graph.producer().get(first_input(node)), graph.consumers()
    users = consumers.get(first_output(node), [])
    if len(users) == 1 and (prelu := prelu_behind(graph, node, users[0])):
        users = consumers.get(first_output(prelu), [])
    taken = None if source is None or source.op != "cast" else graph.values[first_input(source)].quant
    made = next((q for user in users if user.op == "cast" and (q := graph.values[first_output(user)].quant)), None)
    return (0.0, 0.0) if taken is None or made is None else (taken.scale, taken.scale / made.scale)


def _store(graph: Graph, layer: Layer, data: Array, step: Array) -> None:
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
