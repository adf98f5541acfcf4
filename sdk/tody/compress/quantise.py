"""Post-training quantisation: from a float32 graph and samples to the same graph in int8 or int16."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.forms import NARROW, WIDE, blends
from ..convert.graph import Graph, Node
from ..convert.rewrite import first_output
from ..convert.slopes import slopes_of
from ..run.agreement import decibels
from . import place
from .equalise import equalise
from .heads import Head, coarse_heads, rewrite
from .islands import GOAL, islands
from .levels import bits_by_size
from .observe import Probe, Sample, Spread, consumer_weights, observe
from .rounding import quantise_weights
from .stages import STAGES
from .timing import Spare

Array = NDArray[Any]
Report = Callable[[str, int, int], None]  # what is being done, how much of it, of how much

MORE = 12  # bits of the smallest layers' weights, where activations have 16
SMALL = 0.03  # of a model's weights: the smallest layers, which keep 8 bits
ENDS_OF = 32  # samples, at most, that the first look at every channel's ends takes
_LOOKED_AT = 8  # samples for the SQNR of every layer
_KEPT = 1 << 15  # elements of a value that one sample adds to it


@dataclass(frozen=True)
class Settings:
    """How to quantise.

    Attributes:
        bits: of the weights, 2 to 8, with activations of 16 bits 6 to 15, but for smaller layers (`_bits`).
        wanted: bits of the weights of layers, by their first output, that differ.
        method: of `ranges.choose`.
        effort: "fast" rounds weights to the nearest level, "normal" so that the layer's result changes least, "best" runs the
            model anew for more of the layers.
        io_is_integer: inputs and outputs are int8 too.
        goal: SQNR in dB of the worst output, below which layers at the borders of the model stay in float32 (`islands.py`).
        kept: first output of operators that stay in float32, with the reason.
        sparsity: of `quantise_weights`.
        activations: bits of the activations, 8 or 16. With 16 the last layers stay in float32 (`_last`).
        spare: time for layers that are more exact in float32 (`timing.py`); None: a share of the work, if it brings the goal.
    """

    bits: int = 8
    method: str = "auto"
    effort: str = "normal"
    io_is_integer: bool = False
    goal: float = GOAL
    kept: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    sparsity: float = 0.0
    spare: Spare | None = None
    activations: int = 8


@dataclass
class Quantised:
    """A graph with casts in place, and how it came about.

    Attributes:
        graph: float32 operators between casts; `to_integers` makes integers of them.
        reference: the same without casts: what it stands for. Values have the same names.
        integer: first outputs of the operators that compute in int8.
        reasons: first output of operators that could matter and do not, with the reason.
        choice: ranges and quantisations by value.
        spreads: what was seen of the reference's values.
        bits: first output of each layer with int8 weights -> their bits.
        factors: that `equalise` scaled the layers by.
        heads: that were rewritten.
        sqnr_db: of the first output of each operator, with everything before it quantised too.
    """

    graph: Graph
    reference: Graph
    integer: set[str]
    reasons: dict[str, str]
    choice: place.Choice
    spreads: dict[str, Spread]
    bits: dict[str, int]
    factors: Array
    heads: list[Head]
    sqnr_db: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """What a float32 model is like, whatever becomes of it: taken once for all numbers of bits.

    Attributes:
        graph: in parts that integers can do (`place.prepare`), its layers scaled.
        factors: that `equalise` scaled the layers by.
        spreads: what was seen of its values.
    """

    graph: Graph
    factors: Array
    spreads: dict[str, Spread]


def study(graph: Graph, samples: Sequence[Sample], io_is_integer: bool = False, report: Report | None = None) -> Study:
    """Look at a float32 model on samples, scale its channels, and look again.

    Args:
        graph: optimised; left as it is.
        samples: at least one; some of them are enough to see the ends of channels.

    Raises:
        ModelError: a value is not a number.
    """
    work, tell = graph.copy(), report or (lambda what, done, total: None)
    place.prepare(work, io_is_integer)
    every = -(-len(samples) // ENDS_OF)
    first = -(-len(samples) // every)
    total = first + len(samples)
    ends = observe(work, samples, progress=lambda done: tell("observing", done, total), every=every, counted=False)
    factors = equalise(work, ends)
    spreads = observe(work, samples, consumer_weights(work), lambda done: tell("observing", first + done, total))
    return Study(work, factors, spreads)


def quantise(
    graph: Graph, samples: Sequence[Sample], settings: Settings, report: Report | None = None, known: Study | None = None
) -> Quantised:
    """Put casts into a float32 graph and quantise its weights.

    Args:
        graph: optimised; left as it is.
        samples: to calibrate with, at least one.
        settings: how.
        report: told about progress.
        known: what `study` found of the graph; None: it is looked at now.

    Raises:
        ModelError: a value is not a number.
    """
    tell = report or (lambda what, done, total: None)
    seen = known or study(graph, samples, settings.io_is_integer, tell)
    graph, spreads = seen.graph.copy(), seen.spreads
    kept = {**_infinite(graph, spreads), **settings.kept}
    if settings.activations == 16:
        kept = {**_last(graph), **_narrow(graph), **kept}
    roles = place.decide(graph, kept, settings.io_is_integer)
    method = settings.method if settings.activations == 8 else "minmax"
    choice = place.choose(graph, roles.integer, spreads, method, bits=settings.activations)
    bounds: dict[str, Any] = {"goal": settings.goal, "spare": settings.spare}
    found = islands(graph, samples, choice, kept, io_is_integer=settings.io_is_integer, **bounds)
    if found:
        roles = place.decide(graph, {**kept, **found}, settings.io_is_integer)
        choice = place.choose(graph, roles.integer, spreads, method, bits=settings.activations)
    heads: list[Head] = []
    if settings.activations == 8 and not settings.io_is_integer:
        heads = coarse_heads(graph, samples, spreads, roles.integer, choice)
        fixed = rewrite(graph, heads)
        roles = place.decide(graph, {**kept, **found}) if fixed else roles
        choice = place.choose(graph, roles.integer, spreads, settings.method, fixed) if fixed else choice
    layers = place.linear_nodes(graph, roles.integer)
    result = Quantised(
        graph=graph,
        reference=graph.copy(),
        integer={first_output(node) for node in roles.integer},
        reasons={first_output(node): reason for node, reason in roles.reasons.items()},
        choice=choice,
        spreads=spreads,
        bits=_bits(graph, layers, settings),
        factors=seen.factors,
        heads=heads,
    )
    place.quantise(graph, roles.integer, choice)
    seen_by_layers = [] if settings.effort == "fast" else samples
    stages = STAGES[settings.effort]
    watch = partial(tell, "rounding")
    quantise_weights(
        graph, result.reference, seen_by_layers, result.bits, stages=stages, sparsity=settings.sparsity, progress=watch
    )
    result.sqnr_db = sqnr(result, samples)
    return result


def _bits(graph: Graph, layers: Sequence[Node], settings: Settings) -> dict[str, int]:
    """Of each layer's weights: as many as asked for, and more where that costs little and serves all the others.

    The smallest layers, which together hold `SMALL` of the weights, have 8, or with wider activations `MORE`; depthwise ones as
    well, because so few of their weights meet in a sum that errors do not cancel. With wider activations all others have as
    many as their size says (`bits_by_size`).
    """
    sizes = {first_output(node): math.prod(graph.values[node.inputs[1] or ""].shape) for node in layers}
    most = 8 if settings.activations == 8 else max(MORE, settings.bits)
    left, bits = SMALL * sum(sizes.values()), {}
    for node in sorted(layers, key=lambda node: sizes[first_output(node)]):
        name = first_output(node)
        left -= sizes[name]
        if node.op == "dwconv" or left >= 0:
            bits[name] = most
        elif settings.activations == 8:
            bits[name] = settings.bits
        else:
            bits[name] = bits_by_size(settings.bits, sizes[name], max(sizes.values()), most)
    return {name: settings.wanted.get(name, bits[name]) for name in map(first_output, layers)}


def _last(graph: Graph) -> dict[str, str]:
    """The layers behind which there is no other.

    What they make is often as wide as coordinates beside one another, or logits, are: as one output it would share a step.
    """
    behind: set[str | None] = set()
    found = {}
    for node in reversed(graph.nodes):
        last = behind.isdisjoint(node.outputs)
        if node.op in place.HEAVY and last:
            found[first_output(node)] = "one of the last layers"
        if node.op in place.HEAVY or not last:
            behind.update(node.inputs)
    return found


def _narrow(graph: Graph) -> dict[str, str]:
    """The operators that have no form for integers of 16 bits."""
    found = {}
    for node in graph.nodes:
        moves = place.keeps_quantisation(node) and node.op not in NARROW
        has_form = node.op in WIDE or slopes_of(graph, node) is not None
        if not has_form and (not moves or (node.op == "resize" and blends(graph, node))):
            found[first_output(node)] = f"{node.op} has no int16 form"
    return found


def _infinite(graph: Graph, spreads: Mapping[str, Spread]) -> dict[str, str]:
    """The operators that compute infinities: no integers stand for those. Moving them is another matter: they saturate."""
    found = {}
    for node in graph.nodes:
        y = first_output(node)
        if y in spreads and spreads[y].infinite and not place.keeps_quantisation(node):
            found[y] = "its values are infinite"
    return found


def sqnr(quantised: Quantised, samples: Sequence[Sample]) -> dict[str, float]:
    """How far every value of the quantised model is from the float one's, in dB of power, on the first few samples."""
    exact, rounded = Probe(quantised.reference), Probe(quantised.graph)
    real = {name: f"{name}{place.REAL}" for name in quantised.choice.quants}
    named = {real.get(name, name): name for name in quantised.spreads}
    power: dict[str, float] = {}
    noise: dict[str, float] = {}
    for sample in samples[:_LOOKED_AT]:
        kept: dict[str, Array] = {}

        def keep(name: str, array: Array, kept: dict[str, Array] = kept) -> None:
            if name in quantised.spreads:
                kept[name] = _some(array)

        def compare(name: str, array: Array, kept: dict[str, Array] = kept) -> None:
            right = kept.get(named.get(name, ""))
            if right is not None:
                both = np.isfinite(right) & np.isfinite(found := _some(array))
                known = named[name]
                power[known] = power.get(known, 0.0) + float(np.sum(np.square(right[both])))
                noise[known] = noise.get(known, 0.0) + float(np.sum(np.square(right[both] - found[both])))

        exact.run(sample, keep)
        rounded.run(sample, compare)
    return {name: decibels(power[name], noise[name]) for name in power}


def _some(array: Array) -> Array:
    flat = array.reshape(-1)
    return flat[:: -(-flat.size // _KEPT)].astype(np.float64)
