"""Convolution over three dimensions, as one over images whose channels are the slices under a window's depth."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..operand import Call, Operand
from .convolution import Window, kernel_of
from .convolution import conv as conv_2d


def conv(b: Builder, call: Call) -> Operand:
    """Conv over one to three dimensions."""
    x, w = call.input(0), call.array(1, "weights")
    if x.rank != 5 or w.ndim != 5:
        return conv_2d(b, call)
    window = Window(call, x.shape[2:], kernel_of(call, w))
    groups, outputs = call.attrs.get("group", 1), w.shape[0]
    if groups < 1 or x.shape[1] != w.shape[1] * groups:
        raise ValueError(f"weights {list(w.shape)} in {groups} groups do not fit {list(x.shape)}")
    images = _slices(b, x, window, groups)
    weights = b.constant(np.ascontiguousarray(w.swapaxes(1, 2)).reshape(outputs, -1, *w.shape[3:]))
    ends = list(zip(*window.pads[1:], strict=True))
    attrs = {"group": groups, "strides": window.stride[1:], "dilations": window.dilation[1:], "pads": [*ends[0], *ends[1]]}
    inputs = [images, weights, *call.inputs[2:]]
    y = conv_2d(b, Call("Conv", "", call.name, call.opset, inputs, call.outputs, attrs))
    y = b.reshape(y, (x.shape[0], window.counts[0], *y.shape[1:]))
    return b.transpose(y, (0, 2, 1, 3, 4))


def _slices(b: Builder, x: Operand, window: Window, groups: int) -> Operand:
    """[N, C, D, H, W] as [N * windows along D, groups * depth of the kernel * C / groups, H, W]."""
    before, after = window.pads[0]
    x = b.pad(x, (0, 0, before, 0, 0), (0, 0, after, 0, 0))
    n, channels, depth, height, width = x.shape
    pixels, count, kernel = height * width, window.counts[0], window.kernel[0]
    each = channels // groups
    shape = (n, count, groups, kernel, each, pixels)
    slab = depth * pixels  # of one channel
    strides = (channels * slab, window.stride[0] * pixels, each * slab, window.dilation[0] * pixels, slab, 1)
    return b.reshape(b.strided(x, shape, strides), (n * count, channels * kernel, height, width))
