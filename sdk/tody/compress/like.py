"""Quantise a model as another one of the same structure was, so that a device which has that one needs few bytes for this.

After a fine-tune all weights have moved a little. Quantised anew, ranges, factors between channels and the careful rounding
come out differently, and hardly an integer is what it was. Here everything that was decided for the earlier model stays, and
each of its integers moves by what its weight moved, in the same steps: those that moved by less than half a step stay.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.forms import channel_scales
from ..convert.graph import Graph, Node, Quant, Value
from ..convert.rewrite import first_input, first_output, slot
from ..errors import UsageError
from ..format import BIAS
from . import place
from .equalise import rescale
from .heads import rewrite
from .levels import short_biases, short_steps
from .quantise import Quantised
from .rounding import units

Array = NDArray[Any]

LARGEST = 127  # integer of a weight


def follow(made: Quantised, graph: Graph, io_is_integer: bool = False) -> None:
    """Turn an earlier model, quantised, into a later one with the same ranges, steps and float islands.

    Args:
        made: the earlier model, with weights of 7 or 8 bits; becomes the later one.
        graph: the later model: float32, optimised, and alike. Left as it is.
        io_is_integer: as `made` has it.
    """
    later = graph.copy()
    place.prepare(later, io_is_integer)
    rescale(later, made.factors)
    rewrite(later, made.heads)
    takers = {first_output(node): node for node in made.graph.nodes}
    makers = made.graph.producer()
    done: set[str] = set()
    for node, twin in zip(made.reference.nodes, later.nodes, strict=True):
        for i, (name, other) in enumerate(zip(node.inputs, twin.inputs, strict=True)):
            old = made.reference.values[name or ""].data if name is not None else None
            new = later.values[other or ""].data if other is not None else None
            taker = takers.get(first_output(node))
            if old is None or new is None or taker is None or np.array_equal(old, new):
                continue
            stored = _stored(made.graph, makers, taker.inputs[i] or "")
            if stored.name not in done:
                _move(stored, old, new, units(made.graph, taker)[1] if taker.op in place.LINEAR else 0.0)
                done.add(stored.name)
    for node in made.graph.nodes:
        name = slot(node, BIAS) if node.op in place.LINEAR else None
        if name is not None:
            _shorten(made.graph.values[name], _stored(made.graph, makers, node.inputs[1] or ""), *units(made.graph, node))
    for node, twin in zip(made.reference.nodes, later.nodes, strict=True):
        for name, other in zip(node.inputs, twin.inputs, strict=True):
            if name is not None and other is not None and later.values[other].data is not None:
                made.reference.values[name].data = later.values[other].data


def check_alike(before: Graph, after: Graph) -> None:
    """Whether two optimised graphs differ in float constants alone.

    Raises:
        UsageError: their operators differ, or the shapes of what these take and make, or names of inputs and outputs.
    """
    a, b = ([_look(graph, node) for node in graph.nodes] for graph in (before, after))
    if (before.inputs, before.outputs) == (after.inputs, after.outputs) and a == b:
        return
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    where = next((node.source or first_output(node) for node in after.nodes[at : at + 1]), "its inputs and outputs")
    hint = "only the weights may differ: without --like it is compressed on its own"
    raise UsageError("the model is not built as the one that it shall be like", f"they differ at {where}", hint)


def _look(graph: Graph, node: Node) -> tuple[Any, ...]:
    """What two graphs have in common that differ in float constants alone."""
    values = [graph.values[name] for name in (*node.inputs, *node.outputs) if name is not None]
    fixed = [v.data.tobytes() if v.data is not None and v.dtype != "float32" else v.constant for v in values]
    absent = [name is None for name in node.inputs]
    return node.op, node.attrs, absent, fixed, [(v.shape, v.dtype) for v in values]


def _stored(graph: Graph, makers: dict[str, Node], name: str) -> Value:
    """The constant that an input comes from, through its casts."""
    while name in makers and makers[name].op == "cast":
        name = first_input(makers[name])
    return graph.values[name]


def _move(stored: Value, old: Array, new: Array, unit: float) -> None:
    """Change a constant by what it changed in the float model. `unit`: of `short_steps`, if it is a layer's weights."""
    assert stored.data is not None
    moved = new.astype(np.float64) - old
    if stored.quant is None:
        exact = np.array_equal(stored.data, old)
        stored.data = new if exact else (stored.data + moved).astype(np.float32)  # a bias was corrected: it stays so
    elif len(stored.quant.scales) == 1 and stored.quant.zero_point:
        stored.data = stored.quant.quantise(new)
    else:
        stored.data, stored.quant = _move_weights(stored, moved, unit)


def _move_weights(weights: Value, moved: Array, unit: float) -> tuple[Array, Quant]:
    """Weights in the same steps; outputs whose weights outgrow theirs get larger ones."""
    assert weights.data is not None
    steps = channel_scales(weights)
    target = weights.data + moved / steps
    within = tuple(d for d, n in enumerate(steps.shape) if n == 1)
    reach = np.abs(target).max(axis=within, keepdims=True) / LARGEST
    grown = short_steps(steps * np.where(np.rint(reach * LARGEST) > LARGEST, reach, 1.0), unit)
    data = np.clip(np.rint(target * (steps / grown)), -LARGEST, LARGEST).astype(np.int8)
    return data, Quant(tuple(grown.reshape(-1).tolist()))


def _shorten(bias: Value, weights: Value, taken: float, unit: float) -> None:
    """Round a bias as that of a layer with these weights was, whose input and products have these units (`short_biases`)."""
    if weights.quant is not None and bias.data is not None:
        steps = channel_scales(weights).reshape(bias.data.shape)
        bias.data = short_biases(bias.data.astype(np.float64), steps, taken, unit).astype(np.float32)
