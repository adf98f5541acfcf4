"""GridSample: pictures read at places that are known only at run time, as gathers of neighbours and their weighted sum."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from functools import reduce
from itertools import product
from math import prod

import numpy as np

from ..builder import Builder
from ..operand import Call, Operand, Refusal, strides_of

_CUBIC = -0.75  # PyTorch's and ONNX's coefficient of Keys' kernel
_EXACT = 1 << 24  # places are computed in float32

Tap = tuple[Operand, "Operand | None"]  # place along one dimension, and weight (None: 1)


def grid_sample(b: Builder, call: Call) -> Operand:
    """x [N, C, sizes..], grid [N, counts.., dimensions] (from -1 to 1, last dimension first) -> [N, C, counts..]."""
    x, grid = call.input(0), b.cast(call.input(1), "float32")
    batch, channels, *sizes = x.shape
    if batch * prod(sizes) > _EXACT:
        raise Refusal(f"a picture of more than {_EXACT:,} elements per channel", "sample a smaller one")
    pixels = b.transpose(b.cast(x, "float32"), (0, *range(2, x.rank), 1))
    pixels = b.reshape(pixels, (batch * prod(sizes), channels))
    counts = grid.shape[1:-1]
    taps = []
    for d, size in enumerate(sizes):
        column = b.slice(grid, grid.rank - 1, len(sizes) - 1 - d, 1)
        taps.append(_taps(b, call, b.reshape(column, (batch, *counts)), size))
    start = np.arange(batch, dtype=np.float32) * prod(sizes)
    offset = b.constant(start.reshape(-1, *[1] * len(counts)))
    parts = [_neighbour(b, pixels, offset, corner, strides_of(tuple(sizes))) for corner in product(*taps)]
    y = reduce(lambda a, z: b.binary("add", a, z), parts)
    return b.cast(b.transpose(y, (0, y.rank - 1, *range(1, y.rank - 1))), x.dtype)


def _neighbour(b: Builder, pixels: Operand, offset: Operand, corner: tuple[Tap, ...], strides: tuple[int, ...]) -> Operand:
    """All channels of one pixel per place, times its weight."""
    place = offset
    for (at, _), stride in zip(corner, strides, strict=True):
        place = b.binary("add", b.scalar("mul", at, stride), place)
    y = b.gather(pixels, b.cast(place, "int32"), 0)
    weights = [w for _, w in corner if w is not None]
    if not weights:
        return y
    weight = reduce(lambda a, z: b.binary("mul", a, z), weights)
    return b.binary("mul", y, b.reshape(weight, (*weight.shape, 1)))


def _taps(b: Builder, call: Call, grid: Operand, size: int) -> list[Tap]:
    """The neighbours along one dimension."""
    align, padding = bool(call.attrs.get("align_corners", 0)), call.attrs.get("padding_mode", "zeros")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(call.attrs.get("mode", "linear"), call.attrs.get("mode", "linear"))
    span = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    at = b.unary("affine", grid, (size - 1) / 2 if align else size / 2, (size - 1) / 2)
    if padding == "border":
        at = b.unary("clamp", at, 0.0, size - 1.0)
    elif padding == "reflection":
        at = _reflected(b, at, *span)
    if mode == "nearest":
        steps: list[tuple[int, Operand | None]] = [(0, None)]
        base = b.unary("round", at)
    else:
        base = b.unary("floor", at)
        part = b.binary("sub", at, base)
        steps = [(0, b.unary("affine", part, -1.0, 1.0)), (1, part)] if mode == "linear" else _cubic(b, part)
    return [_inside(b, b.unary("affine", base, 1.0, step), weight, size, padding, span) for step, weight in steps]


def _inside(b: Builder, at: Operand, weight: Operand | None, size: int, padding: str, span: tuple[float, float]) -> Tap:
    """A place within the picture; outside of it a pixel counts nothing, or is one of the picture's."""
    if padding == "zeros":
        valid = b.cast(b.binary("and", b.scalar("less", at, size - 0.5), _above(b, at)), "float32")
        weight = valid if weight is None else b.binary("mul", weight, valid)
    elif padding == "reflection":
        at = _reflected(b, at, *span)
    return b.unary("clamp", at, 0.0, size - 1.0), weight


def _above(b: Builder, at: Operand) -> Operand:
    return b.binary("less", b.constant(np.float32(-0.5)), at)


def _reflected(b: Builder, at: Operand, low: float, high: float) -> Operand:
    """Back and forth between two limits."""
    length = high - low
    if length <= 0:
        return b.unary("affine", at, 0.0, low)
    along = b.scalar("mod", b.unary("affine", at, 1.0, -low), 2 * length)
    return b.unary("affine", b.binary("min", along, b.unary("affine", along, -1.0, 2 * length)), 1.0, low)


def _cubic(b: Builder, part: Operand) -> list[tuple[int, Operand | None]]:
    """Keys' kernel at the distances 1 + t, t, 1 - t, 2 - t."""

    def near(d: Operand) -> Operand:
        inner = b.unary("affine", d, _CUBIC + 2, -(_CUBIC + 3))
        return b.unary("affine", b.binary("mul", b.binary("mul", inner, d), d), 1.0, 1.0)

    def far(d: Operand) -> Operand:
        inner = b.unary("affine", b.binary("mul", b.unary("affine", d, _CUBIC, -5 * _CUBIC), d), 1.0, 8 * _CUBIC)
        return b.unary("affine", b.binary("mul", inner, d), 1.0, -4 * _CUBIC)

    other = b.unary("affine", part, -1.0, 1.0)
    return [
        (-1, far(b.unary("affine", part, 1.0, 1.0))),
        (0, near(part)),
        (1, near(other)),
        (2, far(b.unary("affine", part, -1.0, 2.0))),
    ]
