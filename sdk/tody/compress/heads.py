"""Give a model's last layers the steps that their results deserve.

What an int8 layer hands to float32 has 256 steps for all of its channels together: few for a head that gives coordinates beside
scores, or logits of which only the largest matter. So such a layer computes every channel on a scale of its own, which costs
nothing, because its weights have scales of their own; what it gives is scaled back in float32. And where that is not enough, it
is computed several times, each time with a bias for another part of the range and saturated outside of it: the sum of the parts
has so many times the steps.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph, Node
from ..convert.report import macs
from ..convert.rewrite import add_constant, add_value, drop_dead, first_output, slot
from . import place
from .observe import Array, Probe, Sample, Spread
from .ranges import Range

Floats = NDArray[np.float64]

LEAST_PARTS, MOST_PARTS = 4, 8  # the mean error says little of the few values that count: more steps than it asks for
SAMPLES = 8
BEYOND = 0.5  # of the width of what was seen of a channel, on each side: other samples give more
FEW = 4096  # values of a channel, and fewer, say little of its ends: a class of which no picture was seen has them elsewhere
USUAL = 4.0  # times what samples typically reach: no channel is kept beyond
LATE = 0.05  # of the model's multiply-adds may lie behind a head: parts of a layer in its middle would only cost time
OWN = 0.25  # of the noise that arrives at a head may be added by its own rounding
_STEPS = 254  # of a part: from -127 to 127


@dataclass
class _Noise:
    """Of the result of a head, for each sample the mean squares per channel of what arrives, and of what rounding adds."""

    arriving: list[Floats] = field(default_factory=list)
    own: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class Head:
    """A layer that shall be rewritten as centre + half * the sum of `parts` parts; centre and half are by channel."""

    at: int  # of the graph's nodes
    centre: Floats
    half: Floats
    parts: int


def coarse_heads(
    graph: Graph, samples: Sequence[Sample], spreads: Mapping[str, Spread], integer: set[Node], choice: place.Choice
) -> list[Head]:
    """The heads whose own rounding matters.

    A head is one of the last layers, with next to no work behind it (`LATE`), whose result only float32 operators take, or
    nobody. Its rounding matters if it adds more than `OWN` of the noise that is in the result already, in the typical channel
    of the typical sample.

    Args:
        graph: float32, observed and with its roles chosen.
        samples: the first few are used.
        spreads: of its values.
        integer: its int8 operators.
        choice: their ranges.
    """
    users = graph.consumers()
    heads = [n for n in place.linear_nodes(graph, integer) if integer.isdisjoint(users.get(first_output(n), []))]
    late = LATE * macs(graph)
    heads = [n for n in heads if macs(_behind(graph, users, n)) <= late]
    noise = _measure(graph, [first_output(n) for n in heads], samples[:SAMPLES], integer, choice)
    found = []
    for node in heads:
        seen, spread = noise[first_output(node)], spreads[first_output(node)]
        arriving, own = np.median(seen.arriving, axis=0), np.median(seen.own, axis=0)
        if np.median(own - OWN * arriving) <= 0:
            continue
        low, high = _limits(node, spread, len(samples) * math.prod(graph.values[first_output(node)].shape[:-1]))
        width = np.maximum(high - low, max(float((high - low).max()) * 1e-3, 1e-12))
        most = OWN * max(float(np.median(arriving / np.square(width / 2))), 1e-12)
        wanted = 2 / _STEPS / np.sqrt(12 * most)
        parts = int(np.clip(np.ceil(wanted), LEAST_PARTS, MOST_PARTS))
        found.append(Head(graph.nodes.index(node), (low + high) / 2, width / 2, parts))
    return found


def _behind(graph: Graph, users: Mapping[str, Sequence[Node]], node: Node) -> Graph:
    """The operators that a node's result reaches."""
    found: set[Node] = set()
    reached = [node]
    while reached:
        more = [n for name in reached.pop().outputs for n in users.get(name or "", ()) if n not in found]
        found.update(more)
        reached += more
    return Graph([n for n in graph.nodes if n in found], graph.values)


def rewrite(graph: Graph, heads: Sequence[Head]) -> dict[str, Range]:
    """Rewrite these heads in place; the float function stays the same within what was seen.

    Returns:
        The ranges that the parts must have, by value.
    """
    fixed: dict[str, Range] = {}
    for node, head in [(graph.nodes[head.at], head) for head in heads]:
        fixed.update(_rewrite(graph, node, head.centre, head.half, head.parts))
    drop_dead(graph)
    return fixed


def _measure(
    graph: Graph, names: Sequence[str], samples: Sequence[Sample], integer: set[Node], choice: place.Choice
) -> dict[str, _Noise]:
    """Run the graph with rounded activations beside the exact one."""
    work = graph.copy()
    same = {id(node) for node in integer}
    place.quantise(work, {b for a, b in zip(graph.nodes, work.nodes, strict=True) if id(a) in same}, choice)
    exact, rounded = Probe(graph), Probe(work)
    noise = {name: _Noise() for name in names}
    for sample in samples:
        right: dict[str, Array] = {}

        def keep(name: str, array: Array, right: dict[str, Array] = right) -> None:
            if name in noise:
                right[name] = array.reshape(-1, array.shape[-1]).astype(np.float64)

        def compare(name: str, array: Array, right: dict[str, Array] = right) -> None:
            if name in noise:
                rows = array.reshape(-1, array.shape[-1])
                quant, of = choice.quants[name], noise[name]
                of.arriving.append(np.square(rows - right[name]).mean(axis=0))
                of.own.append(np.square(quant.dequantise(quant.quantise(rows)) - rows.astype(np.float64)).mean(axis=0))

        exact.run(sample, keep)
        rounded.run(sample, compare)
    return noise


def _limits(node: Node, spread: Spread, seen: int) -> tuple[Floats, Floats]:
    """Between which numbers each channel is kept: what was seen and more, but for what only strange samples gave.

    Args:
        seen: how many values of each channel; with `FEW` the ends of all channels together are those of each.
    """
    name, a, b = node.attrs.get("activation", ("none", 0.0, 0.0))
    most = USUAL * float(spread.channel_typical.max())
    low, high = np.clip(spread.channel_low, -most, most), np.clip(spread.channel_high, -most, most)
    if seen <= FEW:
        low, high = np.full_like(low, spread.low), np.full_like(high, spread.high)
    low, high = low - BEYOND * (high - low), high + BEYOND * (high - low)
    return (low, high) if name == "none" else (np.maximum(low, a), np.minimum(high, b))


def _rewrite(graph: Graph, node: Node, centre: Floats, half: Floats, parts: int) -> dict[str, Range]:
    """centre + half * the sum of the parts; returns the range of each part."""
    values, y = graph.values, first_output(node)
    weights = values[node.inputs[1] or ""]
    assert weights.data is not None
    shape = (*weights.shape[:2], 1, 1) if weights.pack == "panels" else (-1,)
    scaled = add_constant(graph, f"{y}:weights", (weights.data / half.reshape(shape)).astype(np.float32), weights.pack)
    old = slot(node, 2)
    bias = np.zeros(half.size) if old is None else np.asarray(values[old].data, np.float64).reshape(-1)
    reach = 1.0 / parts
    names, made, fixed = [], [], {}
    for k in range(parts):
        moved = ((bias - centre) / half - (2 * k + 1 - parts) * reach).astype(np.float32)
        shaped = moved.reshape(weights.shape[:2]) if weights.pack == "panels" else moved
        part = add_value(graph, f"{y}:part", values[y].shape)
        inputs = [node.inputs[0], scaled, add_constant(graph, f"{part}:bias", shaped, weights.pack)]
        attrs = {**node.attrs, "activation": ("clamp", -reach, reach)}
        made.append(Node(node.op, inputs, [part], attrs, node.source))
        names.append(part)
        fixed[part] = Range(-reach * 128 / 127, reach, "minmax")
    total = names[0]
    for name in names[1:]:
        total = _then(graph, made, node, "add", total, name)
    width = add_constant(graph, f"{y}:width", half.astype(np.float32).reshape((1,) * (len(values[y].shape) - 1) + (-1,)))
    middle = add_constant(graph, f"{y}:middle", centre.astype(np.float32).reshape(values[width].shape))
    total = _then(graph, made, node, "mul", total, width)
    total = _then(graph, made, node, "add", total, middle)
    made[-1].outputs = [y]
    at = graph.nodes.index(node)
    graph.nodes[at : at + 1] = made
    return fixed


def _then(graph: Graph, made: list[Node], node: Node, fn: str, a: str, b: str) -> str:
    """One more operation behind those made so far; returns its result."""
    y = add_value(graph, f"{first_output(node)}:sum", graph.values[first_output(node)].shape)
    made.append(Node("binary", [a, b], [y], {"fn": fn, "activation": ("none", 0.0, 0.0)}, node.source))
    return y
