"""Rules that recognise what a model spells out in small operators: activations, LayerNorm, softmax."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from . import functions
from .functions import Array
from .graph import Node
from .rewrite import Index, Rule, add_constant, add_value, first_input, first_output, insert_after

_MAX_NODES = 12  # of an expression


def name_activation(index: Index, node: Node) -> bool:
    """Replace an expression of one variable by the function that has its values: SiLU, hard-swish, Mish, GELU and others.

    The expression is computed at sample points instead of being compared with known spellings, of which there are many.
    """
    if not _is_elementwise(index, node):
        return False
    y = index.graph.values[first_output(node)]
    for root in _roots(index, node):
        if index.graph.values[root].shape != y.shape:
            continue
        known: dict[str, Array | None] = {root: functions.SAMPLES}
        with np.errstate(all="ignore"):
            values = _evaluate(index, y.name, known)
        function = None if values is None or len(known) < 3 else functions.recognise(values)
        scaled = function is not None and function[0] == "affine" and node.op == "unary"  # merge_unary knows when to join these
        if function is not None and not scaled:
            node.op, node.inputs, node.attrs = "unary", [root], {"function": function}
            return True
    return False


def _is_elementwise(index: Index, node: Node | None) -> bool:
    if node is None or index.graph.values[first_output(node)].dtype != "float32":
        return False
    if node.op == "unary":
        return node.attrs["function"][0] in functions.UNARY
    plain = node.attrs.get("activation", ("none",))[0] == "none"
    return node.op == "binary" and plain and node.attrs["fn"] in functions.BINARY


def _roots(index: Index, node: Node) -> list[str]:
    """The values from which an expression ending in `node` might be computed, the farthest first."""
    found: list[str] = []
    todo, nodes = [node], 0
    while todo and nodes < _MAX_NODES:
        at, nodes = todo.pop(0), nodes + 1
        for name in at.inputs:
            if name is None or index.constant(name) is not None or name in found:
                continue
            found.append(name)
            maker = index.maker(name)
            if maker is not None and _is_elementwise(index, maker):
                todo.append(maker)
    return found[::-1]


def _evaluate(index: Index, name: str, known: dict[str, Array | None]) -> Array | None:
    """The values of `name` where its root takes those of the samples; None if it depends on anything else."""
    if name not in known:
        maker, number = index.maker(name), index.scalar(name)
        known[name] = None
        if number is not None:
            known[name] = np.full(functions.SAMPLES.shape, number)
        elif maker is not None and _is_elementwise(index, maker) and len(known) < 2 * _MAX_NODES:
            operands = [_evaluate(index, x, known) for x in maker.inputs if x is not None]
            if all(x is not None for x in operands):
                known[name] = _apply(maker, [x for x in operands if x is not None])
    return known[name]


def _apply(node: Node, operands: list[Array]) -> Array:
    if node.op == "unary":
        name, a, b = node.attrs["function"]
        return functions.UNARY[name](operands[0], a, b)
    return functions.BINARY[node.attrs["fn"]](operands[0], operands[1])


def _binary(index: Index, name: str | None, fn: str) -> Node | None:
    node = index.maker(name, "binary")
    plain = node is not None and node.attrs.get("activation", ("none",))[0] == "none"
    return node if plain and node is not None and node.attrs["fn"] == fn else None


def _unary(index: Index, name: str | None, fn: str) -> Node | None:
    node = index.maker(name, "unary")
    return node if node is not None and node.attrs["function"][0] == fn else None


def _trailing_axis(index: Index, reduce: Node) -> int | None:
    """The first axis of a reduction over all dimensions from there to the last; None for others."""
    rank = len(index.graph.values[first_input(reduce)].shape)
    axes = [d for d in range(rank) if reduce.attrs["axes"] >> d & 1]
    return axes[0] if axes and axes == list(range(axes[0], rank)) else None


def _mean_of(index: Index, name: str | None) -> Node | None:
    node = index.maker(name, "reduce")
    return node if node is not None and node.attrs["fn"] == "mean" else None


def name_layer_norm(index: Index, node: Node) -> bool:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon) is a layer norm."""
    if node.op != "binary" or node.attrs["fn"] not in ("div", "mul"):
        return False
    for centred, other in (node.inputs, node.inputs[::-1]):
        if node.attrs["fn"] == "mul":
            inverse = _unary(index, other, "reciprocal")
            other = None if inverse is None else inverse.inputs[0]
        found = _norm_parts(index, centred, other)
        if found is not None:
            x, axis, epsilon = found
            node.op, node.inputs, node.attrs = "layer_norm", [x], {"axis": axis, "epsilon": epsilon, "rms": 0}
            return True
        if node.attrs["fn"] == "div":
            return False
    return False


def _norm_parts(index: Index, centred: str | None, deviation: str | None) -> tuple[str, int, float] | None:
    """x, axis and epsilon, if `deviation` is the standard deviation of `centred` and that is x less its mean."""
    root = _unary(index, deviation, "sqrt")
    plus = None if root is None else _unary(index, root.inputs[0], "affine")
    variance = None if plus is None or plus.attrs["function"][1] != 1 else _mean_of(index, plus.inputs[0])
    square = None if variance is None else _binary(index, variance.inputs[0], "mul")
    if plus is None or variance is None or square is None or square.inputs[0] != square.inputs[1]:
        return None
    difference, squared = _binary(index, centred, "sub"), _binary(index, square.inputs[0], "sub")
    if difference is None or squared is None or difference.inputs != squared.inputs:
        return None
    mean = _mean_of(index, difference.inputs[1])
    if mean is None or mean.inputs[0] != difference.inputs[0] or mean.attrs["axes"] != variance.attrs["axes"]:
        return None
    axis = _trailing_axis(index, mean)
    return None if axis is None else (first_input(mean), axis, float(plus.attrs["function"][2]))


def scale_of_layer_norm(index: Index, node: Node) -> bool:
    """A constant factor or summand behind a layer norm belongs to it."""
    if node.op != "layer_norm":
        return False
    user, y = index.only_user(first_output(node)), first_output(node)
    if user is None or user.op != "binary" or user.attrs.get("activation", ("none",))[0] != "none":
        return False
    other = user.inputs[1] if user.inputs[0] == y else user.inputs[0]
    data, slot = index.constant(other), {"mul": 1, "add": 2}.get(user.attrs["fn"])
    shape, axis = index.graph.values[y].shape, int(node.attrs["axis"])
    inputs = [*node.inputs, None, None][:3]
    if data is None or slot is None or any(inputs[slot:]) or index.graph.values[first_output(user)].shape != shape:
        return False
    if data.shape[max(0, data.ndim - (len(shape) - axis)) :] != shape[axis:] or data.size != math.prod(shape[axis:]):
        return False  # a number per channel of an image is better left to the operator behind
    inputs[slot] = add_constant(index.graph, f"{other}:norm", data.reshape(shape[axis:]))
    node.inputs = inputs
    node.outputs = [first_output(user)]
    index.graph.nodes.remove(user)
    return True


def layer_norm_before_reshape(index: Index, node: Node) -> bool:
    """A layer norm of something reshaped is that norm, reshaped, if rows stay rows: the reshapes around it meet and cancel."""
    before = index.maker(node.inputs[0], "reshape") if node.op == "layer_norm" and len(node.inputs) == 1 else None
    if before is None or index.only_user(first_output(before)) is not node:
        return False
    values, x, y = index.graph.values, first_input(before), first_output(node)
    rows = math.prod(values[y].shape[: int(node.attrs["axis"])])
    shape = values[x].shape
    axis = next((d for d in range(len(shape)) if math.prod(shape[:d]) == rows), None)
    if axis is None:
        return False
    inner = add_value(index.graph, f"{y}:before", shape)
    node.inputs, node.outputs, node.attrs = [x], [inner], {**node.attrs, "axis": axis}
    insert_after(index.graph, node, Node("reshape", [inner], [y], source=node.source))
    return True


def name_softmax(index: Index, node: Node) -> bool:
    """exp(x) / sum(exp(x)) along one axis is a softmax; so it is with the largest x subtracted first."""
    power = _unary(index, node.inputs[0], "exp") if node.op == "binary" and node.attrs["fn"] == "div" else None
    total = None if power is None else index.maker(node.inputs[1], "reduce")
    if power is None or total is None or total.attrs["fn"] != "sum" or total.inputs[0] != node.inputs[0]:
        return False
    axes = [d for d in range(32) if total.attrs["axes"] >> d & 1]
    if len(axes) != 1 or node.attrs.get("activation", ("none",))[0] != "none":
        return False
    x = first_input(power)
    shifted = _binary(index, x, "sub")
    largest = None if shifted is None else index.maker(shifted.inputs[1], "reduce")
    alike = largest is not None and (largest.attrs["fn"], largest.attrs["axes"]) == ("max", total.attrs["axes"])
    if shifted is not None and largest is not None and alike and largest.inputs[0] == shifted.inputs[0]:
        x = first_input(shifted)
    node.op, node.inputs, node.attrs = "softmax", [x], {"axis": axes[0], "log": 0}
    return True


RULES: list[Rule] = [name_layer_norm, scale_of_layer_norm, layer_norm_before_reshape, name_softmax, name_activation]
