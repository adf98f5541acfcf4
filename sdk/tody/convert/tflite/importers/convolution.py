"""Convolution, pooling and resizing. Images are NHWC, as they are inside."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from ...builder import Builder
from ...importers.convolution import Window
from ...operand import Call, Operand, Refusal
from ..call import TfliteCall, onnx, quant_of
from ..rounding import MOST_AVERAGED, averaged
from .elementwise import activated, relabelled
from .matrix import bias, weights


def _window(call: TfliteCall, x: Operand, kernel: tuple[int, int]) -> Window:
    """Kernel, stride, dilation and padding over rows and columns."""
    if x.rank != 4:
        raise ValueError(f"an image has 4 dimensions, not {x.rank}")
    options = call.attrs
    attrs = {
        "strides": [options["stride_h"], options["stride_w"]],
        "dilations": [options.get("dilation_h", 1), options.get("dilation_w", 1)],
        "auto_pad": "VALID" if options["padding"] else "SAME_UPPER",
    }
    return Window(Call(call.op, "", call.name, 1, [], [], attrs), x.shape[1:3], list(kernel))


def conv(b: Builder, call: TfliteCall) -> Operand:
    """Weights [O, rows, columns, I / groups]."""
    x, (count, rows, columns, depth) = call.input(0), call.input(1).shape
    groups = x.shape[-1] // depth if depth else 0
    if not groups or depth * groups != x.shape[-1] or count % groups:
        raise ValueError(f"weights {list(call.input(1).shape)} do not fit {list(x.shape)}")
    each = count // groups
    window = _window(call, x, (rows, columns))
    panels = weights(b, call, 1, lambda w: w.reshape(groups, each, rows * columns, depth))
    added = bias(b, call, 2, (groups, each))
    attrs: dict[str, Any] = {**window.attrs(), "groups": groups}
    y = b.emit("conv", [x, panels, *([added] if added else [])], (x.shape[0], *window.counts, count), "float32", attrs)
    return activated(b, y, call)


def depthwise(b: Builder, call: TfliteCall) -> Operand:
    """Weights [1, rows, columns, channels * multiplier]; with a multiplier it is a convolution in groups of one channel."""
    x, (one, rows, columns, count) = call.input(0), call.input(1).shape
    channels, taps = x.shape[-1], rows * columns
    if one != 1 or count % channels:
        raise ValueError(f"weights {list(call.input(1).shape)} do not fit {list(x.shape)}")
    each = count // channels
    window = _window(call, x, (rows, columns))
    attrs: dict[str, Any] = {**window.attrs(), "groups": channels}
    if each == 1 and channels > 1:
        op, found = "dwconv", weights(b, call, 1, lambda w: w.reshape(taps, count), "plain")
        added = bias(b, call, 2, (count,), "plain")
    else:
        op = "conv"
        found = weights(b, call, 1, lambda w: w.reshape(taps, channels, each).transpose(1, 2, 0)[..., None])
        added = bias(b, call, 2, (channels, each))
    y = b.emit(op, [x, found, *([added] if added else [])], (x.shape[0], *window.counts, count), "float32", attrs)
    return activated(b, y, call)


def transpose_conv(b: Builder, call: TfliteCall) -> Operand:
    """The output's shape, weights [O, rows, columns, I], x, a bias."""
    _, height, width, channels = call.sizes(0, "output shape")
    x, (count, rows, columns, depth) = call.input(2), call.input(1).shape
    if x.rank != 4 or x.shape[3] != depth or channels != count:
        raise ValueError(f"weights {list(call.input(1).shape)} do not fit {list(x.shape)}")
    kernel, stride, sizes = (rows, columns), (call.attrs["stride_h"], call.attrs["stride_w"]), (height, width)
    full = [(n - 1) * s + k for n, s, k in zip(x.shape[1:3], stride, kernel, strict=True)]
    cut = [0 if call.attrs["padding"] else max(0, f - n) for f, n in zip(full, sizes, strict=True)]
    top, left = (c // 2 for c in cut)
    pad = (top, left, cut[0] - top, cut[1] - left)
    attrs = {"kernel": kernel, "stride": stride, "dilation": (1, 1), "pad": pad, "groups": 1}
    panels = weights(b, call, 1, lambda w: w.reshape(1, count, rows * columns, depth))
    added = _bias_behind(b, call, count)
    y = b.emit("deconv", [x, panels, *([added] if added else [])], (x.shape[0], height, width, count), "float32", attrs)
    return activated(b, y, call)


def _bias_behind(b: Builder, call: TfliteCall, count: int) -> Operand | None:
    """The bias of a transposed convolution, whose input and weights stand the other way round than elsewhere."""
    order = (2, 1, 3)
    inputs, tensors = [call.optional(i) for i in order], [call.tensor(i) for i in order]
    twin = TfliteCall(call.op, "", call.name, call.opset, inputs, call.outputs, call.attrs, tensors, [], call.results)
    return bias(b, twin, 2, (1, count))


def pool(b: Builder, call: TfliteCall) -> Operand:
    """The largest, the mean, or the root of the mean of squares of a window; padding never counts."""
    x = call.input(0)
    window = _window(call, x, (call.attrs["filter_height"], call.attrs["filter_width"]))
    kind = "max" if call.op == "MAX_POOL_2D" else "average"
    taken = b.binary("mul", x, x) if call.op == "L2_POOL_2D" else x
    shape = (x.shape[0], *window.counts, x.shape[3])
    attrs: dict[str, Any] = {**window.attrs(), "kind": kind, "include_pad": 0}
    quant, q = quant_of(call.results[0]), call.integers[0]
    taps = call.attrs["filter_height"] * call.attrs["filter_width"]
    alike = quant is not None and q is not None and b.graph.values[q.name].quant == quant
    if kind == "average" and q is not None and alike and taps <= MOST_AVERAGED and call.op != "L2_POOL_2D":
        return activated(b, _average_of_integers(b, call, q, shape, attrs), call)
    y = b.emit("pool", [taken], shape, "float32", attrs)
    return activated(b, b.unary("sqrt", y) if call.op == "L2_POOL_2D" else y, call)


def _average_of_integers(b: Builder, call: TfliteCall, q: Operand, shape: tuple[int, ...], attrs: dict[str, Any]) -> Operand:
    """LiteRT averages the integers themselves, and rounds halves away from zero."""
    quant = b.graph.values[q.name].quant
    assert quant is not None
    before, behind = averaged(quant, call.results[0].dtype == "uint8")
    y = b.emit("pool", [relabelled(b, q, before)], shape, "float32", attrs)
    return relabelled(b, b.quantise(y, behind), quant)


def resize(b: Builder, call: TfliteCall) -> Operand:
    """As ONNX, whose images are NCHW: the transposes vanish."""
    x, sizes = call.input(0), call.sizes(1, "size")
    if x.rank != 4 or len(sizes) != 2:
        raise Refusal(f"it resizes {x.rank} dimensions to {sizes}", "images have 4, of which 2 are resized")
    is_linear, aligned, halves = call.op == "RESIZE_BILINEAR", call.attrs["align_corners"], call.attrs["half_pixel_centers"]
    if aligned and halves:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    # Nearest with half pixels is the pixel in which the centre lies, with aligned corners the one that is nearest, .5 upwards.
    rounding = "round_prefer_ceil" if aligned or halves else "floor"
    coordinates = "align_corners" if aligned else "half_pixel" if halves else "asymmetric"
    image = b.nchw(x)
    whole = b.constant(np.asarray([*image.shape[:2], *sizes], np.int64))
    attrs = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    y = onnx(b, call, "Resize", [image, None, None, whole], mode="linear" if is_linear else "nearest", **attrs)
    return b.nhwc(y)
