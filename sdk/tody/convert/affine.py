"""A scale and a shift per channel that no weights can take, such as a BatchNormalization left over: a depthwise convolution.

So is a PReLU behind what is rounded already.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .channels import Channels, per_channel
from .graph import Node, Quant
from .rewrite import Index, absorb, add_constant, add_value, first_input, first_output, insert_after, insert_before
from .slopes import slopes_of

_LARGE = np.arange(127, 63, -1)


def join_affine(index: Index, node: Node) -> bool:
    """Let the product and the sum of a float32 image and one number per channel each be a depthwise convolution of one tap."""
    graph = index.graph
    x = next((str(name) for name in node.inputs if index.constant(name) is None), "") if node.op == "binary" else ""
    if not x or len(graph.values[x].shape) != 4 or index.maker(x, "cast"):
        return False
    user, factors = index.only_user(first_output(node)), _numbers(index, node, "mul", x)
    numbers = None if user is None else _numbers(index, user, "add", first_output(node))
    if user is None or factors is None or numbers is None or _is_quantised(index, user):
        return False
    weights = [add_constant(graph, f"{x}:scale", factors.reshape(1, -1)), add_constant(graph, f"{x}:shift", numbers)]
    node.op, node.inputs, node.attrs = "dwconv", [x, *weights], _attributes(len(numbers), user)
    return absorb(index, node, user)


def _attributes(channels: int, last: Node | None = None) -> dict[str, Any]:
    """Of a window of one pixel, with the activation of the last node that it stands for, if there is one."""
    window = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0), "groups": channels}
    return {**window, "activation": (last.attrs if last else {}).get("activation", ("none", 0.0, 0.0))}


def affine_to_dwconv(index: Index, node: Node) -> bool:
    """Let a product or sum of a quantised value and one number per channel, or both, be a depthwise convolution of one tap."""
    graph = index.graph
    x = next((str(name) for name in node.inputs if index.maker(name, "cast")), "") if node.op == "binary" else ""
    factors, numbers = _numbers(index, node, "mul", x), _numbers(index, node, "add", x)
    last = node
    if factors is not None and (user := index.only_user(first_output(node))) is not None:
        numbers = _numbers(index, user, "add", first_output(node))
        last = node if numbers is None else user
    if (factors is None and numbers is None) or not _is_quantised(index, last):
        return False
    shape, y, quant = graph.values[x].shape, first_output(last), graph.values[first_input(index.makers[x])].quant
    if quant is None or len(quant.scales) > 1:
        return False
    if last is not node:
        graph.nodes.remove(last)
    if len(shape) != 4:
        x, y = _flattened(index, node, x, y)
    factors = np.ones(shape[-1], np.float32) if factors is None else factors
    inputs: list[str | None] = [x, _weights(index, node, quant, factors, numbers)]
    inputs += [] if numbers is None else [add_constant(graph, f"{y}:shift", numbers)]
    node.op, node.inputs, node.outputs, node.attrs = "dwconv", inputs, [y], _attributes(shape[-1], last)
    return True


def prelu_to_dwconv(index: Index, node: Node) -> bool:
    """Let a PReLU of a quantised value be that of a depthwise convolution of one tap, whose weights are 1."""
    graph, x = index.graph, node.inputs[0] if node.inputs else None
    cast = index.maker(x, "cast")
    quant = None if cast is None else graph.values[first_input(cast)].quant
    if x is None or node.op != "binary" or quant is None or len(quant.scales) > 1:
        return False
    shape, y = graph.values[x].shape, first_output(node)
    if slopes_of(graph, node) is None or graph.values[y].shape != shape or not _is_quantised(index, node):
        return False
    if len(shape) != 4:
        x, node.outputs[0] = _flattened(index, node, x, y)
        shape = graph.values[x].shape
    ones = Quant((1.0,) * shape[-1], bits=quant.bits)
    whole = add_constant(graph, f"{y}:one", np.ones((1, shape[-1]), ones.dtype), quant=ones)
    real, same = add_value(graph, f"{y}:one:real", (1, shape[-1])), add_value(graph, f"{y}:before", shape)
    insert_before(graph, node, Node("cast", [whole], [real], source=node.source))
    insert_before(graph, node, Node("dwconv", [x, real], [same], _attributes(shape[-1]), node.source))
    node.inputs[0] = same
    return True


def _numbers(index: Index, node: Node, fn: str, x: str) -> Channels | None:
    """The number per channel that a node multiplies x with, or adds to it; None if it does something else."""
    if node.op != "binary" or node.attrs["fn"] != fn or x not in node.inputs or len(node.inputs) != 2:
        return None
    if fn == "mul" and node.attrs.get("activation", ("none",))[0] != "none" and not _is_quantised(index, node):
        return None
    shapes = [index.graph.values[name].shape for name in (x, first_output(node))]
    return per_channel(index, node, x) if shapes[0] == shapes[1] else None


def _is_quantised(index: Index, node: Node) -> bool:
    user = index.only_user(first_output(node))
    return user is not None and user.op == "cast" and index.graph.values[first_output(user)].quant is not None


def _flattened(index: Index, node: Node, x: str, y: str) -> tuple[str, str]:
    """Views of input and output as pictures of one column, around the node; returns their names."""
    shape = index.graph.values[x].shape
    column = (1, math.prod(shape[:-1]), 1, shape[-1])
    flat_x, flat_y = (add_value(index.graph, f"{name}:column", column) for name in (x, y))
    insert_before(index.graph, node, Node("reshape", [x], [flat_x], source=node.source))
    insert_after(index.graph, node, Node("reshape", [flat_y], [y], source=node.source))
    return flat_x, flat_y


def _weights(index: Index, node: Node, x: Quant, scales: Channels, shifts: Channels | None) -> str:
    """Quantised weights of one tap, and the cast behind them; returns its output.

    A weight may be any integer, as its scale follows; of those that are large the one in whose steps the shift is most nearly
    a whole number is taken.
    """
    graph, y = index.graph, first_output(node)
    size = np.where(scales == 0, 1.0, np.abs(scales.astype(np.float64)))
    shift = np.zeros_like(size) if shifts is None else shifts / (x.scale * size)
    steps = np.outer(_LARGE, shift)
    largest = _LARGE[(np.abs(steps - np.rint(steps)) / _LARGE[:, None]).argmin(0)]
    quant = Quant(tuple((size / largest).astype(np.float32).tolist()))
    whole = add_constant(graph, f"{y}:scale", (largest * np.sign(scales)).astype(np.int8)[None], quant=quant)
    real = add_value(graph, f"{y}:scale:real", (1, len(scales)))
    insert_before(graph, node, Node("cast", [whole], [real], source=node.source))
    return real
