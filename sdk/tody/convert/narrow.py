"""Large windows over many channels for few outputs, such as the last layer of a net that makes pictures.

A panel has 16 columns, most of which stay empty where a convolution has three output channels. So the taps of a line become
columns, too: a convolution of one tap per line makes, of every pixel, what it adds to each output under whose window it lies,
and a second step adds up what belongs together, which lies in memory at a constant distance. Source: Andrew Anderson et al.,
"Low-memory GEMM-based convolution algorithms for deep neural networks" (kn2row), 2017, here with the taps of a line alone.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..format import PANEL, align
from .graph import Graph, Node
from .rewrite import add_constant, add_value, first_input, first_output, insert_before, slot
from .winograd import Way, winograd_ways

# Costs in multiply-adds, as in winograd.py.
GAIN = 1.25  # what a layer must cost over what it costs in two steps
TAP_MACS = 180  # for adding up what one tap of a pixel gives to all its output channels
VALUE_MACS = 24  # for a number between the two steps, which goes to memory and back
LARGEST = 65535  # number of a window (docs/format.md)


def widen(graph: Graph) -> None:
    """Let the taps of a line be columns of the product in every float32 convolution where that is cheaper.

    What lies between the two steps never takes more memory than the image.
    """
    tiled = winograd_ways(graph)
    for node in list(graph.nodes):
        if node.op == "conv" and _can_widen(graph, node) and _pays(graph, node, tiled.get(node.inputs[1] or "", [])):
            _widen(graph, node)


def _can_widen(graph: Graph, node: Node) -> bool:
    weights = graph.values[node.inputs[1] or ""]
    groups, columns, _, depth = weights.shape
    taps = int(node.attrs["kernel"][1])
    is_float = weights.dtype == graph.values[first_input(node)].dtype == "float32"
    _, stride, dilation, pad = _window(node)
    holds = taps * max(stride[1], dilation[1] + 1, *pad) <= LARGEST
    return is_float and groups == 1 and taps > 1 and columns * taps <= depth and holds


def _pays(graph: Graph, node: Node, ways: list[Way]) -> bool:
    width, depth = graph.values[first_input(node)].shape[2:]
    pixels, columns = graph.values[first_output(node)].shape[2:]
    down, across = map(int, node.attrs["kernel"])
    direct = pixels * down * across * depth * align(columns, PANEL)
    wide = width * (down * depth * align(columns * across, PANEL) + VALUE_MACS * columns * across)
    lines = math.prod(graph.values[first_output(node)].shape[:2])
    best = min([direct, *(way.cost // lines for way in ways)])
    return GAIN * (wide + pixels * across * TAP_MACS) < best


def _widen(graph: Graph, node: Node) -> None:
    """A line of the sums, W pixels of T taps of N channels, is one of W * T pixels: tap t of output x is pixel
    T * (x * stride - pad) + t * (T * dilation + 1) of it."""
    x, y = first_input(node), graph.values[first_output(node)]
    kernel, stride, dilation, pad = _window(node)
    taps, columns = kernel[1], y.shape[3]
    batch, height, width = (*y.shape[:2], graph.values[x].shape[2])
    sums = add_value(graph, f"{y.name}:taps", (batch, height, width, taps * columns))
    line = add_value(graph, f"{y.name}:line", (batch, height, width * taps, columns))
    window = {"kernel": (kernel[0], 1), "stride": (stride[0], 1), "dilation": (dilation[0], 1), "pad": (pad[0], 0, pad[2], 0)}
    insert_before(graph, node, Node("conv", [x, _weights(graph, node)], [sums], {**window, "groups": 1}, node.source))
    insert_before(graph, node, Node("reshape", [sums], [line], {}, node.source))
    node.op = "dwconv"
    ones = add_constant(graph, f"{y.name}:ones", np.ones((taps, columns), np.float32))
    node.inputs = [line, ones, _bias(graph, node), *node.inputs[3:]]
    node.attrs = {**node.attrs, "groups": columns, "kernel": (1, taps), "stride": (1, stride[1] * taps)}
    node.attrs.update(dilation=(1, dilation[1] * taps + 1), pad=(0, pad[1] * taps, 0, pad[3] * taps))


def _window(node: Node) -> list[tuple[int, ...]]:
    """Kernel, stride, dilation and padding."""
    defaults = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0)}
    return [tuple(map(int, node.attrs.get(key, default))) for key, default in defaults.items()]


def _weights(graph: Graph, node: Node) -> str:
    """[1, N, lines * T, K] as [1, T * N, lines, K]."""
    weights = graph.values[node.inputs[1] or ""]
    assert weights.data is not None
    _, columns, _, depth = weights.shape
    lines, taps = node.attrs["kernel"]
    data: Any = weights.data.reshape(columns, lines, taps, depth).transpose(2, 0, 1, 3)
    return add_constant(graph, f"{weights.name}:taps", data.reshape(1, taps * columns, lines, depth), "panels")


def _bias(graph: Graph, node: Node) -> str | None:
    """Plain, as a depthwise convolution has it."""
    name = slot(node, 2)
    if name is None:
        return None
    bias = graph.values[name]
    assert bias.data is not None
    return add_constant(graph, name, bias.data.reshape(-1))
