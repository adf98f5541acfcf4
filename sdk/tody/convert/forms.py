"""The integer forms of operators: multipliers, int32 biases, tables and limits (docs/format.md, "int8, to the bit")."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import MULTIPLIERS
from .channels import activation_of
from .graph import Graph, Node, Quant, Value
from .rewrite import add_constant
from .slopes import slopes_of, with_slopes

Array = NDArray[Any]
Inputs = list["Value | None"]

_MOST = 2**31 - 1  # of a sum
_FRACTION = 2048  # of weights of resize: 11 bits
_NO_LIMITS = ("none", 0.0, 0.0)


class NotInteger(Exception):
    """An operator that stays float32, and why."""


def integer_form(graph: Graph, node: Node, inputs: Inputs, y: Value, prelu: Node | None = None) -> Node:
    """The node that computes in integers what `node` computes between casts.

    Args:
        graph: takes the constants that the form needs.
        node: an operator of `FORMS`.
        inputs: for each input of the node the integers behind its cast, or the value itself where it takes no integers.
        y: the integers that the result is cast to.
        prelu: what stands between a layer and that cast (`prelu_behind`).

    Raises:
        NotInteger: a sum could leave int32, a multiplier float32, or integers are not of the same width.
    """
    widths = {value.quant.bits for value in (*inputs, y) if value is not None and value.quant is not None}
    if widths != {8} and (widths != {16} or node.op not in WIDE):
        raise NotInteger(f"{node.op} has no form for integers of {' and '.join(map(str, sorted(widths)))} bits")
    names, attrs = FORMS[node.op](graph, node, inputs, y)
    slopes = None if node.op not in MULTIPLIERS else slopes_of(graph, node if prelu is None else prelu)
    if slopes is not None:
        names[MULTIPLIERS[node.op]] = with_slopes(graph, names[MULTIPLIERS[node.op]], slopes)
        attrs["activation"] = limits(_NO_LIMITS if prelu is None else activation_of(prelu), _quant(y))
    return Node(node.op, names, [y.name], attrs, node.source)


Form = tuple[list["str | None"], dict[str, Any]]  # inputs and attributes


def channel_scales(weights: Value) -> Array:
    """The scales of weights in double precision, in a shape that broadcasts against them."""
    assert weights.quant is not None
    scales = np.asarray(weights.quant.scales, np.float64)
    shape = (*weights.shape[:2], 1, 1) if weights.pack == "panels" else (1, weights.shape[-1])
    return np.asarray(np.broadcast_to(scales, math.prod(shape)).reshape(shape))


def dequantised(weights: Value) -> Array:
    """The float32 numbers that constant integers stand for."""
    assert weights.quant is not None and weights.data is not None
    if len(weights.quant.scales) == 1:
        return weights.quant.dequantise(weights.data)
    return np.asarray((weights.data * channel_scales(weights)).astype(np.float32))


def multipliers(graph: Graph, y: Value, values: Any, pack: str = "plain") -> str:
    """A constant of multipliers, each rounded once; returns its name.

    Raises:
        NotInteger: one is not a normal float32 below 2^64.
    """
    with np.errstate(over="ignore"):
        m = np.atleast_1d(np.asarray(values, np.float64)).astype(np.float32)
    if not ((m >= np.finfo(np.float32).tiny) & (m < 2.0**64)).all():
        raise NotInteger("its scales are too far apart")
    return add_constant(graph, f"{y.name}:multiplier", m, pack)


def limits(activation: tuple[str, float, float], y: Quant) -> tuple[str, float, float]:
    """The integers between which a clamp keeps the result; nothing for others, which a layer's slopes stand for."""
    if activation[0] != "clamp":
        return _NO_LIMITS
    low, high = y.quantise(np.asarray(activation[1:], np.float32))
    return _NO_LIMITS if (int(low), int(high)) == y.limits else ("clamp", float(low), float(high))


def _quant(value: Value | None) -> Quant:
    assert value is not None and value.quant is not None
    return value.quant


def _reach(quant: Quant) -> int:
    """How far an integer can be from its zero point."""
    low, high = quant.limits
    return max(high - quant.zero_point, quant.zero_point - low)


def _layer(graph: Graph, node: Node, inputs: Inputs, y: Value) -> Form:
    """conv, dwconv, deconv, dense."""
    x, weights, bias, addend = [*inputs, None, None][:4]
    assert x is not None and weights is not None
    unit = _quant(x).scale * channel_scales(weights)  # what one of the sum stands for
    integers, unit = _with_room(weights, unit, bias)
    names: list[str | None] = [x.name, weights.name, None]
    if integers is not weights.data:
        scales = tuple((unit / _quant(x).scale).astype(np.float32).reshape(-1).tolist())
        coarser = Quant(scales, bits=_quant(weights).bits)
        names[1] = add_constant(graph, f"{weights.name}:coarser", integers, weights.pack, coarser)
    axes = (2, 3) if weights.pack == "panels" else (0,)
    most = np.abs(integers.astype(np.int64)).sum(axes) * _reach(_quant(x))
    unit = unit.reshape(most.shape)
    if bias is not None and bias.data is not None:
        start = np.rint(bias.data.astype(np.float64) / unit)
        most = most + np.abs(start)
        names[2] = add_constant(graph, f"{y.name}:bias", np.clip(start, -_MOST, _MOST).astype(np.int32), weights.pack)
    if (most > _MOST).any():
        raise NotInteger("its sums could leave 32 bits")
    names += [] if node.op == "deconv" else [None if addend is None else addend.name]
    names.append(multipliers(graph, y, unit / _quant(y).scale, weights.pack))
    if addend is not None:
        names.append(multipliers(graph, y, _quant(addend).scale / _quant(y).scale))
    return names, {**node.attrs, "activation": limits(node.attrs.get("activation", _NO_LIMITS), _quant(y))}


def _with_room(weights: Value, unit: Array, bias: Value | None) -> tuple[Array, Array]:
    """Weights and units in which the bias fits into half of int32.

    A channel whose bias does not has weights so small that next to it they count for nothing; they get a coarser scale.
    """
    data = weights.data
    assert data is not None
    if bias is None or bias.data is None:
        return data, unit
    coarser = np.maximum(1.0, np.abs(bias.data.astype(np.float64)).reshape(unit.shape) / unit / 2**30)
    if (coarser == 1).all():
        return data, unit
    return np.rint(data / coarser).astype(data.dtype), unit * coarser


def _matmul(graph: Graph, node: Node, inputs: Inputs, y: Value) -> Form:
    a, b = inputs[:2]
    assert a is not None and b is not None
    if a.shape[-1] * _reach(_quant(a)) * _reach(_quant(b)) > _MOST:
        raise NotInteger("its sums could leave 32 bits")
    m = multipliers(graph, y, _quant(a).scale * _quant(b).scale / _quant(y).scale)
    return [a.name, b.name, m], node.attrs


def _pool(graph: Graph, node: Node, inputs: Inputs, y: Value) -> Form:
    """The average; the largest is a mover of integers."""
    x, taps = inputs[0], int(np.prod(node.attrs["kernel"]))
    assert x is not None
    if taps * _reach(_quant(x)) > _MOST:
        raise NotInteger("its sums could leave 32 bits")
    m = multipliers(graph, y, _quant(x).scale / (_quant(y).scale * np.arange(1, taps + 1)))
    return [x.name, m], node.attrs


def _reduce(graph: Graph, node: Node, inputs: Inputs, y: Value) -> Form:
    """The mean, and the sum as a mean with another multiplier."""
    x = inputs[0]
    assert x is not None
    count = int(np.prod(x.shape)) // int(np.prod(y.shape))
    if node.attrs["fn"] not in ("mean", "sum"):
        raise NotInteger(f"there is no int8 {node.attrs['fn']} along dimensions")
    if count * _reach(_quant(x)) > _MOST:
        raise NotInteger("its sums could leave 32 bits")
    m = _quant(x).scale / _quant(y).scale / (count if node.attrs["fn"] == "mean" else 1)
    return [x.name, multipliers(graph, y, m)], {**node.attrs, "fn": "mean"}


def _binary(graph: Graph, node: Node, inputs: Inputs, y: Value) -> Form:
    a, b = inputs[:2]
    assert a is not None and b is not None
    fn, scales = node.attrs["fn"], np.array([_quant(a).scale, _quant(b).scale])
    if fn not in ("add", "sub", "mul"):
        raise NotInteger(f"there is no int8 {fn}")
    m = (scales.prod() if fn == "mul" else scales) / _quant(y).scale
    attrs = {**node.attrs, "activation": limits(node.attrs.get("activation", _NO_LIMITS), _quant(y))}
    return [a.name, b.name, multipliers(graph, y, m)], attrs


WIDE = ("conv", "dwconv", "deconv", "dense", "pool")  # those with a form for integers of 16 bits
NARROW = ("reduce", "binary")  # those that choose among integers, of 8 bits alone
FORMS: dict[str, Callable[[Graph, Node, Inputs, Value], Form]] = {
    "conv": _layer,
    "dwconv": _layer,
    "deconv": _layer,
    "dense": _layer,
    "matmul": _matmul,
    "pool": _pool,
    "reduce": _reduce,
    "binary": _binary,
}


def blends(graph: Graph, node: Node) -> bool:
    """Whether a resize weighs several pixels, instead of choosing one."""
    weights = [graph.values[str(node.inputs[i])].data for i in (2, 4)]
    return not all(w is not None and w.shape[1] == 1 and (w == 1).all() for w in weights)


def fixed_weights(graph: Graph, node: Node) -> list[str | None]:
    """The inputs of a resize that blends integers: its weights with 11 bits of fraction. What sums to 1 still does."""
    names = list(node.inputs)
    for i in (2, 4):
        weights = graph.values[str(names[i])]
        assert weights.data is not None
        real = weights.data.astype(np.float64)
        whole = np.rint(real * _FRACTION).astype(np.int32)
        lack = np.rint(real.sum(1) * _FRACTION).astype(np.int32) - whole.sum(1, dtype=np.int32)
        whole[np.arange(len(whole)), np.abs(real).argmax(1)] += lack
        names[i] = add_constant(graph, f"{weights.name}:fixed", whole)
    return names
