"""Rules that give the filters of a convolution another shape: narrow groups fill panels, taps that see only padding go."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import PANEL
from . import views
from .graph import Graph, Node, Value
from .rewrite import Index, Rule, add_constant, add_value, first_input, first_output, insert_before, slot

Array = NDArray[Any]


def widen_groups(index: Index, node: Node) -> bool:
    """Several groups become one as wide as a panel, with zeros where an output does not see an input.

    The lanes that compute with the zeros were idle before, so that the work is the same and there are fewer groups. Of float32
    half a panel is as wide as the vectors of most CPUs: more would be work.
    """
    weights = _weights(index, node) if node.op == "conv" and node.attrs["groups"] > 1 else None
    if weights is None or weights.shape[3] == 1:
        return False
    groups, columns, taps, depth = weights.shape
    most = PANEL if _is_quantised(index, first_input(node)) else PANEL // 2
    count = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * columns <= most))
    if count == 1:
        return False
    quant = _stored(index, node).quant
    nothing = quant.zero_point if quant else 0
    wide = np.full((groups // count, count, columns, taps, count, depth), nothing, weights.dtype)
    same = np.arange(count)
    wide[:, same, :, :, same] = weights.reshape(groups // count, count, columns, taps, depth).swapaxes(0, 1)
    shape = (groups // count, count * columns, taps, count * depth)
    _replace(index, node, wide.reshape(shape), "panels")
    _shape_bias(index, node, shape[:2], "panels")
    node.attrs = {**node.attrs, "groups": groups // count}
    return True


def spread_to_depthwise(index: Index, node: Node) -> bool:
    """Groups of one input channel with several outputs (a depth multiplier): a depthwise convolution of repeated channels."""
    weights = _weights(index, node) if node.op == "conv" and node.attrs["groups"] > 1 else None
    if weights is None or weights.shape[3] != 1 or slot(node, 3) is not None:
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
    _replace(index, node, weights.reshape(groups * times, -1).T, "plain")
    _shape_bias(index, node, (groups * times,), "plain")
    node.op, node.inputs = "dwconv", [image, *node.inputs[1:3]]
    node.attrs = {**node.attrs, "groups": groups * times}
    return True


def cut_taps(index: Index, node: Node) -> bool:
    """Outer rows and columns of a window that see nothing but padding, wherever it stands, go.

    Dilated windows on small images have them (DeepLab, Chen et al. 2017), and windows on images of one pixel (SSD heads).
    """
    weights = _weights(index, node) if node.op in ("conv", "dwconv") else None
    if weights is None:
        return False
    shapes = [index.graph.values[name].shape for name in (first_input(node), first_output(node))]
    spans = [_seen(node, d, shapes[0][1 + d], shapes[1][1 + d]) for d in (0, 1)]
    kernel = tuple(int(n) for n in node.attrs["kernel"])
    if spans == [(0, n) for n in kernel] or any(low >= high for low, high in spans):
        return False
    (top, bottom), (left, right) = spans
    taps = [row * kernel[1] + column for row in range(top, bottom) for column in range(left, right)]
    kept = (bottom - top, right - left)
    pads = [_pads(node, d, shapes, first, count) for d, first, count in ((0, top, kept[0]), (1, left, kept[1]))]
    if pads[0] is None or pads[1] is None:
        return False
    kept_weights, pack = (weights[:, :, taps], "panels") if node.op == "conv" else (weights[taps], "plain")
    _replace(index, node, kept_weights, pack)
    node.attrs = {**node.attrs, "kernel": kept, "pad": (pads[0][0], pads[1][0], pads[0][1], pads[1][1])}
    return True


def _seen(node: Node, d: int, size: int, count: int) -> tuple[int, int]:
    """The first and one past the last of the taps along a side that see a pixel from any of `count` places."""
    stride, dilation, pad = (int(node.attrs[name][d]) for name in ("stride", "dilation", "pad"))
    inside = [
        k for k in range(int(node.attrs["kernel"][d])) if any(0 <= i * stride + k * dilation - pad < size for i in range(count))
    ]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _pads(node: Node, d: int, shapes: list[tuple[int, ...]], first: int, kernel: int) -> tuple[int, int] | None:
    """The padding for the same places with only `kernel` taps from the first on; None if no padding makes them."""
    size, count = shapes[0][1 + d], shapes[1][1 + d]
    stride, dilation = int(node.attrs["stride"][d]), int(node.attrs["dilation"][d])
    reach, before = (kernel - 1) * dilation + 1, int(node.attrs["pad"][d]) - first * dilation
    after = max(0, (count - 1) * stride + reach - size - before)
    return (before, after) if before >= 0 and (size + before + after - reach) // stride + 1 == count else None


def _is_quantised(index: Index, name: str) -> bool:
    """Whether a value is what a cast dequantises."""
    cast = index.maker(name, "cast")
    return cast is not None and index.graph.values[first_input(cast)].quant is not None


def _weights(index: Index, node: Node) -> Array | None:
    """The constant weights of a convolution, as float32 or behind a cast as int8."""
    bias = slot(node, 2)
    return None if bias is not None and index.constant(bias) is None else _stored(index, node).data


def _stored(index: Index, node: Node) -> Value:
    """The weights as they are stored: what a cast dequantises."""
    name = str(node.inputs[1])
    cast = index.maker(name, "cast")
    return index.graph.values[name if cast is None else first_input(cast)]


def _replace(index: Index, node: Node, weights: Array, pack: str) -> None:
    """Give the node other weights, quantised as they were: output channels keep their order."""
    graph, old = index.graph, _stored(index, node)
    cast = index.maker(str(node.inputs[1]), "cast")
    node.inputs[1] = add_constant(graph, f"{old.name}:{pack}", weights, pack, old.quant)
    if cast is not None:
        node.inputs[1] = _dequantised(graph, node, cast)


def _shape_bias(index: Index, node: Node, channels: tuple[int, ...], pack: str) -> None:
    graph = index.graph
    bias = index.constant(slot(node, 2))
    if bias is not None:
        node.inputs[2] = add_constant(graph, f"{node.inputs[2]}:{pack}", bias.reshape(channels), pack)


def _dequantised(graph: Graph, node: Node, cast: Node) -> str:
    """A cast like `cast` of the node's weights; returns its output."""
    whole = graph.values[str(node.inputs[1])]
    real = add_value(graph, f"{whole.name}:real", whole.shape)
    graph.values[real].pack = whole.pack
    insert_before(graph, node, Node("cast", [whole.name], [real], dict(cast.attrs), node.source))
    return real


RULES: list[Rule] = [cut_taps, widen_groups, spread_to_depthwise]
