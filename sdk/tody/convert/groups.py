"""Rules for grouped convolutions: groups narrower than a panel of weights leave most of its lanes idle."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import PANEL
from . import views
from .graph import Graph, Node
from .rewrite import Index, Rule, add_constant, add_value, first_input, insert_before

Array = NDArray[Any]


def widen_groups(index: Index, node: Node) -> bool:
    """Several groups become one as wide as a panel, with zeros where an output does not see an input.

    The lanes that compute with the zeros were idle before, so that the work is the same and there are fewer groups.
    """
    weights = _weights(index, node)
    if weights is None or weights.shape[3] == 1:
        return False
    groups, columns, taps, depth = weights.shape
    count = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * columns <= PANEL))
    if count == 1:
        return False
    wide = np.zeros((groups // count, count, columns, taps, count, depth), weights.dtype)
    same = np.arange(count)
    wide[:, same, :, :, same] = weights.reshape(groups // count, count, columns, taps, depth).swapaxes(0, 1)
    shape = (groups // count, count * columns, taps, count * depth)
    _replace(index, node, wide.reshape(shape), shape[:2], "panels")
    node.attrs = {**node.attrs, "groups": groups // count}
    return True


def spread_to_depthwise(index: Index, node: Node) -> bool:
    """Groups of one input channel with several outputs (a depth multiplier): a depthwise convolution of repeated channels."""
    weights = _weights(index, node)
    if weights is None or weights.shape[3] != 1 or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return False
    graph, x = index.graph, first_input(node)
    groups, times = weights.shape[:2]
    value = graph.values[x]
    shape = (*value.shape[:3], groups * times)
    pixels = int(np.prod(shape[:3]))
    copies = add_value(graph, f"{x}:repeated", (pixels, groups, times), value.dtype, value.quant)
    image = add_value(graph, f"{x}:spread", shape, value.dtype, value.quant)
    view = views.View((pixels, groups, times), 0, (groups, 1, 0))
    insert_before(graph, node, Node("copy", [x], [copies], views.attributes(view), node.source))
    insert_before(graph, node, Node("reshape", [copies], [image], source=node.source))
    _replace(index, node, weights.reshape(groups * times, -1).T, (groups * times,), "plain")
    node.op, node.inputs = "dwconv", [image, *node.inputs[1:3]]
    node.attrs = {**node.attrs, "groups": groups * times}
    return True


def _weights(index: Index, node: Node) -> Array | None:
    """The constant weights of a grouped convolution, as float32 or behind a cast as int8."""
    if node.op != "conv" or node.attrs["groups"] == 1:
        return None
    cast = index.maker(node.inputs[1], "cast")
    weights = index.constant(node.inputs[1] if cast is None else cast.inputs[0])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return None if bias is not None and index.constant(bias) is None else weights


def _replace(index: Index, node: Node, weights: Array, channels: tuple[int, ...], pack: str) -> None:
    """Give the node other weights, quantised as they were, and its bias in their arrangement. Channels keep their order."""
    graph, name = index.graph, str(node.inputs[1])
    cast = index.maker(name, "cast")
    old = graph.values[name if cast is None else first_input(cast)]
    node.inputs[1] = add_constant(graph, f"{old.name}:{pack}", weights, pack, old.quant)
    if cast is not None:
        node.inputs[1] = _dequantised(graph, node, cast)
    bias = index.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None:
        node.inputs[2] = add_constant(graph, f"{node.inputs[2]}:{pack}", bias.reshape(channels), pack)


def _dequantised(graph: Graph, node: Node, cast: Node) -> str:
    """A cast like `cast` of the node's weights; returns its output."""
    whole = graph.values[str(node.inputs[1])]
    real = add_value(graph, f"{whole.name}:real", whole.shape)
    graph.values[real].pack = whole.pack
    insert_before(graph, node, Node("cast", [whole.name], [real], dict(cast.attrs), node.source))
    return real


RULES: list[Rule] = [widen_groups, spread_to_depthwise]
