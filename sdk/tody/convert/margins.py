"""Images that get a margin of zeros before a convolution whose windows often reach over their edges."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .graph import Graph, Node
from .rewrite import add_value, first_input, first_output, insert_before
from .winograd import gaining

# Costs in multiply-adds, as in winograd.py.
LINE_MACS = 800  # for a line of a window that is at an edge, which is put together on its own
IMAGE_LINE_MACS = 1500  # for a line of an image that is copied, and
FLOAT_MACS = 20  # for each number in it
MOST_DEPTH = 384  # of a sum whose lines the runtime takes as they are: a longer one is cut into slices


def add_margins(graph: Graph) -> None:
    """Let a `pad` make the margin of a float32 convolution where that is cheaper than windows at edges are.

    Lines of a window are taken as they lie in memory if they are inside of the image. That matters where a sum is short, as in
    first layers, and where images are small or narrow, so that many windows are at an edge.
    """
    tiled = gaining(graph)
    for node in list(graph.nodes):
        if node.op == "conv" and node.inputs[1] not in tiled and _takes_lines(graph, node) and _pays(graph, node):
            _pad(graph, node)


def _takes_lines(graph: Graph, node: Node) -> bool:
    kernel, dilation = node.attrs["kernel"], node.attrs.get("dilation", (1, 1))
    groups, _, taps, depth = graph.values[node.inputs[1] or ""].shape
    is_float = graph.values[first_input(node)].dtype == "float32"
    return is_float and groups == 1 and kernel[1] > 1 and dilation[1] == 1 and taps * depth <= MOST_DEPTH


def _pays(graph: Graph, node: Node) -> bool:
    x, y = graph.values[first_input(node)].shape, graph.values[first_output(node)].shape
    stride, dilation, pad = (node.attrs.get(key, (1, 1, 0, 0)) for key in ("stride", "dilation", "pad"))
    inside = 1
    for d, kernel in enumerate(node.attrs["kernel"]):
        starts = [i * stride[d] - pad[d] for i in range(y[1 + d])]
        inside *= sum(start >= 0 and start + (kernel - 1) * dilation[d] < x[1 + d] for start in starts)
    at_edge = y[0] * (y[1] * y[2] - inside)
    _, height, width, channels = _padded(x, pad)
    margin = x[0] * height * (IMAGE_LINE_MACS + FLOAT_MACS * width * channels)
    return at_edge * int(node.attrs["kernel"][0]) * LINE_MACS > margin


def _padded(shape: tuple[int, ...], pad: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[1] + pad[0] + pad[2], shape[2] + pad[1] + pad[3], shape[3])


def _pad(graph: Graph, node: Node) -> None:
    x, pad = first_input(node), node.attrs["pad"]
    wide = add_value(graph, f"{x}:padded", _padded(graph.values[x].shape, pad))
    attrs = {"mode": "constant", "before": (0, pad[0], pad[1], 0), "value": 0.0}
    insert_before(graph, node, Node("pad", [x], [wide], attrs, node.source))
    node.inputs = [wide, *node.inputs[1:]]
    node.attrs = {**node.attrs, "pad": (0, 0, 0, 0)}
