"""Resize: every mode of ONNX becomes tables of source rows and weights, made here; the device only multiplies and adds."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from ..builder import Builder
from ..operand import Array, Call, Operand, Refusal, axes_of


@dataclass(frozen=True)
class _Mode:
    kind: str  # nearest, linear, cubic
    coordinates: str
    rounding: str
    cubic: float
    antialias: bool
    exclude_outside: bool


@dataclass(frozen=True)
class _Axis:
    size: int
    count: int
    scale: float
    start: float = 0.0  # region of interest, as parts of the size
    end: float = 1.0


def resize(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    mode = _mode(call)
    axes = _axes(call, x)
    work = [d for d, axis in enumerate(axes) if not _same(axis, mode)]
    tables = {d: _table(axes[d], mode) for d in work}
    y = _along_two(b, x, tables) if x.rank == 4 and set(work) <= {2, 3} else None
    if y is None:
        y = x
        for d in work:
            y = _along_one(b, y, d, *tables[d][:2])
    outside = {d: t[2] for d, t in tables.items() if t[2].any()}
    return _fill(b, y, outside, call.attrs.get("extrapolation_value", 0.0)) if outside else y


def _mode(call: Call) -> _Mode:
    attrs = call.attrs
    old = call.op == "Upsample" or call.opset < 11
    coordinates = "asymmetric" if old else attrs.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else attrs.get("nearest_mode", "round_prefer_floor")
    cubic, outside = attrs.get("cubic_coeff_a", -0.75), bool(attrs.get("exclude_outside", 0))
    kind = {"bilinear": "linear"}.get(attrs.get("mode", "nearest"), attrs.get("mode", "nearest"))
    if kind not in ("nearest", "linear", "cubic"):
        raise ValueError(f"the mode {kind} does not exist")
    return _Mode(kind, coordinates, rounding, cubic, bool(attrs.get("antialias", 0)), outside)


def _axes(call: Call, x: Operand) -> list[_Axis]:
    """Sizes and scales of every dimension."""
    first = call.op == "Upsample" or call.opset < 11
    which = axes_of(list(call.attrs.get("axes", range(x.rank))), x.rank)
    scales = _given(call, 1 if first else 2, "scales")
    sizes = None if first else _given(call, 3, "sizes")
    roi = _given(call, 1, "roi") if call.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize" else None
    if (scales is None) == (sizes is None):
        raise ValueError("either scales or sizes are needed")
    if sizes is not None:
        counts, factors = _by_sizes(call, x, which, [int(n) for n in sizes])
    else:
        factors = [float(v) for v in np.asarray(scales)]
        counts = [_scaled(x.shape[d], f) for d, f in zip(which, factors, strict=True)]
    axes = [_Axis(n, n, 1.0) for n in x.shape]
    for i, d in enumerate(which):
        region = (0.0, 1.0) if roi is None else (float(roi[i]), float(roi[len(which) + i]))
        axes[d] = _Axis(x.shape[d], counts[i], factors[i], *region)
    if any(axis.count < 1 or axis.scale <= 0 for axis in axes):
        raise ValueError("the result holds nothing")
    return axes


def _scaled(size: int, scale: float) -> int:
    """In float32, as runtimes do it and exporters count on: a scale of 30 / 23 that was rounded down still makes 30 of 23."""
    return floor(float(np.float32(size) * np.float32(scale)))


def _given(call: Call, index: int, name: str) -> Array | None:
    if name in call.attrs:
        return np.asarray(call.attrs[name], np.float64)
    operand = call.optional(index)
    if operand is None or operand.size == 0:
        return None
    return call.array(index, name).reshape(-1).astype(np.float64)


def _by_sizes(call: Call, x: Operand, which: list[int], sizes: list[int]) -> tuple[list[int], list[float]]:
    factors = [n / x.shape[d] for n, d in zip(sizes, which, strict=True)]
    policy = call.attrs.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, factors
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [floor(factor * x.shape[d] + 0.5) for d in which], [factor] * len(which)


def _same(axis: _Axis, mode: _Mode) -> bool:
    whole = mode.coordinates != "tf_crop_and_resize" or (axis.start, axis.end) == (0, 1)
    return axis.count == axis.size and axis.scale == 1.0 and whole


def _source(axis: _Axis, mode: _Mode) -> Array:
    """The place in the source of every output, as ONNX's coordinate_transformation_mode defines it."""
    at = np.arange(axis.count, dtype=np.float64)
    length = axis.scale * axis.size  # may be fractional
    if mode.coordinates == "asymmetric":
        return at / axis.scale
    if mode.coordinates == "align_corners":
        return at * (axis.size - 1) / (length - 1) if length != 1 else np.zeros(axis.count)
    if mode.coordinates == "tf_crop_and_resize":
        if axis.count == 1:
            return np.full(1, 0.5 * (axis.start + axis.end) * (axis.size - 1))
        return axis.start * (axis.size - 1) + at * (axis.end - axis.start) * (axis.size - 1) / (length - 1)
    if mode.coordinates == "tf_half_pixel_for_nn":
        return (at + 0.5) / axis.scale
    if mode.coordinates == "half_pixel_symmetric":
        centre = axis.size / 2
        return centre * (1 - axis.count / length) + (at + 0.5) / axis.scale - 0.5
    if mode.coordinates == "pytorch_half_pixel" and axis.count == 1:
        return np.zeros(1)
    if mode.coordinates in ("half_pixel", "pytorch_half_pixel"):
        return (at + 0.5) / axis.scale - 0.5
    raise Refusal(f"the coordinate mode {mode.coordinates} is not known")


def _table(axis: _Axis, mode: _Mode) -> tuple[Array, Array, Array]:
    """Source indices [count, taps], their weights, and which outputs lie outside of the source (tf_crop_and_resize)."""
    at = _source(axis, mode)
    outside = (at < 0) | (at > axis.size - 1) if mode.coordinates == "tf_crop_and_resize" else np.zeros(axis.count, bool)
    if mode.kind == "nearest":
        index, weight = _nearest(at, mode.rounding)[:, None], np.ones((axis.count, 1))
    else:
        index, weight = _taps(at, axis, mode)
    if mode.exclude_outside and mode.kind != "nearest":
        weight = np.where((index < 0) | (index >= axis.size), 0.0, weight)
        weight /= weight.sum(1, keepdims=True)
    weight = np.where(outside[:, None], 0.0, weight)
    return np.clip(index, 0, axis.size - 1).astype(np.int32), weight.astype(np.float32), outside


def _nearest(at: Array, rounding: str) -> Array:
    """Rounded; what arithmetic left a hair beside a whole or half number is taken as that number."""
    close = np.round(2 * at) / 2
    at = np.where(np.abs(at - close) < 1e-6 * (1 + np.abs(at)), close, at)
    if rounding == "floor":
        return np.floor(at).astype(np.int64)
    if rounding == "ceil":
        return np.ceil(at).astype(np.int64)
    if rounding == "round_prefer_ceil":
        return np.floor(at + 0.5).astype(np.int64)
    return np.ceil(at - 0.5).astype(np.int64)


def _taps(at: Array, axis: _Axis, mode: _Mode) -> tuple[Array, Array]:
    """Linear or cubic interpolation; wider by 1 / scale where a smaller picture must not alias."""
    radius = 1 if mode.kind == "linear" else 2
    shrink = min(axis.scale, 1.0) if mode.antialias else 1.0
    reach = ceil(radius / shrink)
    base = np.floor(at).astype(np.int64)
    index = base[:, None] + np.arange(1 - reach, reach + 1)
    distance = np.abs(index - at[:, None]) * shrink
    weight = np.maximum(0.0, 1.0 - distance) if mode.kind == "linear" else _cubic(distance, mode.cubic)
    if mode.antialias:
        weight = weight / weight.sum(1, keepdims=True)
    return index, weight


def _cubic(d: Array, a: float) -> Array:
    """Keys' kernel (Cubic convolution interpolation, 1981)."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _along_two(b: Builder, x: Operand, tables: dict[int, tuple[Array, Array, Array]]) -> Operand:
    """Rows and columns of NCHW in one step."""
    if not tables:
        return x
    image = b.nhwc(x)
    whole = {d: (np.arange(x.shape[d], dtype=np.int32)[:, None], np.ones((x.shape[d], 1), np.float32)) for d in (2, 3)}
    (rows, row_weights), (columns, column_weights) = (tables[d][:2] if d in tables else whole[d] for d in (2, 3))
    return b.nchw(_emit(b, image, rows, row_weights, columns, column_weights))


def _along_one(b: Builder, x: Operand, d: int, index: Array, weight: Array) -> Operand:
    """Any dimension: what is in front is the batch, what is behind are the channels."""
    front, rest = int(np.prod(x.shape[:d])), int(np.prod(x.shape[d + 1 :]))
    image = b.reshape(x, (front, x.shape[d], 1, rest))
    one = (np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    y = _emit(b, image, index, weight, *one)
    return b.reshape(y, (*x.shape[:d], len(index), *x.shape[d + 1 :]))


def _emit(b: Builder, image: Operand, rows: Array, row_weights: Array, columns: Array, column_weights: Array) -> Operand:
    real = b.cast(image, "float32")
    tables = [b.constant(t) for t in (rows, row_weights, columns, column_weights)]
    y = b.emit("resize", [real, *tables], (image.shape[0], len(rows), len(columns), image.shape[3]), real.dtype)
    return b.cast(y, image.dtype)


def _fill(b: Builder, y: Operand, outside: dict[int, Array], value: float) -> Operand:
    """Put the extrapolation value where a coordinate lies outside."""
    mask = np.zeros((1,) * y.rank, bool)
    for d, flags in outside.items():
        mask = mask | flags.reshape([-1 if e == d else 1 for e in range(y.rank)])
    return b.where(b.constant(mask), b.constant(np.float32(value)), y)
