"""Transposed convolutions as convolutions, whose results are put between each other.

Output pixels whose position has one remainder by the stride (a phase) take the same taps, from neighbouring input pixels: that
is a convolution of stride 1 with some of the taps. Either each phase is a convolution of its own, or those of a line are one,
or all phases are one, with a window that holds those of all and zeros where a phase has no tap; what a phase makes are channels
then. Source: Wenzhe Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016. A convolution meets its
weights once for many lines, where `deconv` takes one line at a time, and has quicker ways than products (winograd.py).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..format import PANEL, align
from . import views
from .graph import Graph, Node, Quant
from .rewrite import add_constant, add_value, first_input, first_output, insert_before, slot
from .winograd import GAIN, cost

# Costs in multiply-adds of float32, as in winograd.py.
PRODUCTS = {"float32": 1, "int16": 2, "int8": 4}  # that take as long as one of float32
VALUE_MACS = 8  # for a number that is copied once more,
PIECE_MACS = 500  # and for a piece of them that lies in one place
ROW_MACS = 350  # for a row of a product; of `deconv`
DIRECT_ROW_MACS = {"float32": 350, "int16": 350, "int8": 2000}  # for one, which is packed alone,
LINE_MACS = 20000  # for a phase of a line,
WEIGHT_MACS = 25  # and for a weight that it puts into the order of phases in each run, if windows overlap


@dataclass(frozen=True)
class _Side:
    """One dimension of a transposed convolution without dilation whose output is `count` times as long as its stride."""

    kernel: int
    stride: int
    pad: int
    size: int
    count: int

    def taps(self, phase: int) -> dict[int, int]:
        """Of a phase: pixels after its own -> which tap meets that one."""
        base, first = divmod(phase + self.pad, self.stride)
        return {base - j: tap for j, tap in enumerate(range(first, self.kernel, self.stride))}

    def window(self, phases: Sequence[int]) -> tuple[int, int]:
        """The first and the last pixel after its own that any of these phases meets, and as much more as `conv` wants: no pixel
        of the image that a window could still reach is left out."""
        met = [offset for phase in phases for offset in self.taps(phase)]
        return min([0, *met]), max([self.size - self.count, 0, *met])


_DEFAULTS = {"stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0)}
_Sides = tuple[_Side, _Side]  # lines and columns


@dataclass(frozen=True)
class _Way:
    """Which phases of lines, and of columns, are one convolution."""

    lines: list[list[int]]
    columns: list[list[int]]


def split_transposed(graph: Graph) -> None:
    """Let every transposed convolution be convolutions where that is cheaper and its output is a multiple of the stride."""
    for node in list(graph.nodes):
        sides = _sides(graph, node) if node.op == "deconv" else None
        if sides is not None:
            best = min(_ways(sides), key=lambda way: _cost(graph, node, sides, way))
            if _cost(graph, node, sides, best) < _direct(graph, node, sides):
                _split(graph, node, sides, best)


def _ways(sides: _Sides) -> list[_Way]:
    lines, columns = sides
    return [_Way(_apart(lines), _apart(columns)), _Way(_apart(lines), _one(columns)), _Way(_one(lines), _one(columns))]


def _apart(side: _Side) -> list[list[int]]:
    return [[phase] for phase in range(side.stride)]


def _one(side: _Side) -> list[list[int]]:
    return [list(range(side.stride))]


def _sides(graph: Graph, node: Node) -> _Sides | None:
    """None where it cannot be split."""
    x, y = graph.values[first_input(node)].shape, graph.values[first_output(node)].shape
    stride, dilation, pad = (node.attrs.get(key, default) for key, default in _DEFAULTS.items())
    if node.attrs["groups"] != 1 or tuple(dilation) != (1, 1) or any(y[1 + d] % stride[d] for d in (0, 1)):
        return None
    kernel = node.attrs["kernel"]
    lines, columns = (_Side(int(kernel[d]), int(stride[d]), int(pad[d]), x[1 + d], y[1 + d] // int(stride[d])) for d in (0, 1))
    return (lines, columns) if all(map(_fits, (lines, columns))) else None


def _fits(side: _Side) -> bool:
    """Whether no window of a phase, nor of all, lies in padding alone."""
    for phases in (*_apart(side), *_one(side)):
        low, high = side.window(phases)
        if -low >= high - low + 1 or side.count + high - side.size >= high - low + 1:
            return False
    return True


def _cost(graph: Graph, node: Node, sides: _Sides, way: _Way) -> int:
    """In multiply-adds. Zeros among weights take memory: what has some must gain."""
    x, y = graph.values[first_input(node)], graph.values[first_output(node)]
    places, columns = (y.shape[0], sides[0].count, sides[1].count), y.shape[3]
    total = taps = 0
    for lines, group in product(way.lines, way.columns):
        (top, bottom), (left, right) = sides[0].window(lines), sides[1].window(group)
        kernel = (bottom - top + 1, right - left + 1)
        taps += math.prod(kernel) * len(lines) * len(group)
        products = cost(kernel, len(lines) * len(group) * columns, x.shape[3], places, x.dtype)
        total += products // PRODUCTS[x.dtype] + ROW_MACS * math.prod(places)
    if taps > sides[0].kernel * sides[1].kernel:
        total = round(GAIN * total)
    values, lines_made = math.prod(y.shape), y.shape[0] * y.shape[1]
    if len(way.columns) > 1:
        total += VALUE_MACS * values + PIECE_MACS * lines_made * y.shape[2]
    if sides[0].stride > 1:
        total += VALUE_MACS * values + PIECE_MACS * lines_made * (sides[1].count if len(way.lines) == 1 else 1)
    return total


def _direct(graph: Graph, node: Node, sides: _Sides) -> int:
    x, y = graph.values[first_input(node)], graph.values[first_output(node)]
    _, columns, taps, depth = graph.values[node.inputs[1] or ""].shape
    lines = y.shape[0] * y.shape[1]
    products = align(columns, PANEL) * taps * depth * y.shape[0] * sides[0].count * sides[1].count
    sorting = WEIGHT_MACS * columns * taps * depth if any(side.kernel > side.stride for side in sides) else 0
    rows = DIRECT_ROW_MACS[x.dtype] * lines * y.shape[2] + LINE_MACS * lines * sides[1].stride
    return (products + sorting) // PRODUCTS[x.dtype] + rows


def _split(graph: Graph, node: Node, sides: _Sides, way: _Way) -> None:
    y = graph.values[first_output(node)]
    high, count = sides[0].stride, sides[1].count
    lines, row = y.shape[0] * sides[0].count, y.shape[2] * y.shape[3]
    made = [_line(graph, node, sides, phases, way.columns) for phases in way.lines]
    if len(made) > 1:
        flat = [_emit(graph, node, "reshape", [part], (lines, row)) for part in made]
        made = [_emit(graph, node, "concat", flat, (lines, high * row), {"axis": 1})]
    elif high > 1:
        view = views.View((lines, high, count, row // count), 0, (high * row, row // count, high * row // count, 1))
        made = [_emit(graph, node, "copy", made, view.shape, views.attributes(view))]
    node.op, node.inputs, node.attrs = "reshape", list(made), {}


def _line(graph: Graph, node: Node, sides: _Sides, lines: list[int], columns: list[list[int]]) -> str:
    """What makes these phases of lines: pixel by pixel all phases of columns, one after the other; returns the value."""
    made = [_conv(graph, node, sides, lines, group) for group in columns]
    if len(made) == 1:
        return made[0]
    pixels, channels = math.prod(graph.values[made[0]].shape[:3]), graph.values[made[0]].shape[3]
    flat = [_emit(graph, node, "reshape", [part], (pixels, channels)) for part in made]
    return _emit(graph, node, "concat", flat, (pixels, len(made) * channels), {"axis": 1})


def _conv(graph: Graph, node: Node, sides: _Sides, lines: list[int], columns: list[int]) -> str:
    """The convolution that makes these phases as channels; returns its output."""
    x, y = graph.values[first_input(node)], graph.values[first_output(node)]
    windows = [side.window(phases) for side, phases in zip(sides, (lines, columns), strict=True)]
    kernel = tuple(high - low + 1 for low, high in windows)
    before = tuple(-low for low, _ in windows)
    after = tuple(side.count + high - side.size for side, (_, high) in zip(sides, windows, strict=True))
    window = {"kernel": kernel, "stride": (1, 1), "dilation": (1, 1), "pad": (*before, *after)}
    shape = (y.shape[0], sides[0].count, sides[1].count, len(lines) * len(columns) * y.shape[3])
    names = [x.name, _weights(graph, node, sides, lines, columns), _repeated(graph, slot(node, 2), len(lines) * len(columns))]
    if slot(node, 3) is not None:
        names += [None, _repeated(graph, node.inputs[3], len(lines) * len(columns))]
    return _emit(graph, node, "conv", names, shape, {**node.attrs, **window})


def _emit(
    graph: Graph, node: Node, op: str, inputs: list[Any], shape: tuple[int, ...], attrs: dict[str, Any] | None = None
) -> str:
    """A node before `node` that makes a value like its output; returns the value."""
    y = graph.values[first_output(node)]
    made = add_value(graph, f"{y.name}:phases", shape, y.dtype, y.quant)
    insert_before(graph, node, Node(op, inputs, [made], attrs or {}, node.source))
    return made


def _weights(graph: Graph, node: Node, sides: _Sides, lines: list[int], columns: list[int]) -> str:
    """[1, N, taps, K] as [1, phases * N, taps of the window, K]."""
    old = graph.values[node.inputs[1] or ""]
    assert old.data is not None
    _, made, _, depth = old.shape
    (top, bottom), (left, right) = sides[0].window(lines), sides[1].window(columns)
    data = np.zeros((len(lines), len(columns), made, bottom - top + 1, right - left + 1, depth), old.data.dtype)
    for i, line in enumerate(lines):
        for j, column in enumerate(columns):
            for dy, ky in sides[0].taps(line).items():
                for dx, kx in sides[1].taps(column).items():
                    data[i, j, :, dy - top, dx - left] = old.data[0, :, ky * sides[1].kernel + kx]
    times = len(lines) * len(columns)
    quant = Quant(old.quant.scales * (times if len(old.quant.scales) > 1 else 1), 0, old.quant.bits) if old.quant else None
    shape = (1, times * made, (bottom - top + 1) * (right - left + 1), depth)
    return add_constant(graph, f"{old.name}:phases", data.reshape(shape), "panels", quant)


def _repeated(graph: Graph, name: str | None, times: int) -> str | None:
    """A bias or multipliers for so many times as many channels."""
    if name is None:
        return None
    value = graph.values[name]
    assert value.data is not None
    return add_constant(graph, name, np.tile(value.data, (1, times)), value.pack)
