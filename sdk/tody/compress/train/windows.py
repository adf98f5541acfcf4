"""Convolution and pooling on torch tensors [batch, N, H, W, C], with the windows of docs/format.md."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Attrs = dict[str, Any]


def _planes(x: Tensor | None) -> Tensor:
    """[batch, N, H, W, C] as torch wants it: [batch * N, C, H, W], in the same memory."""
    assert x is not None
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def _images(y: Tensor, like: Tensor | None) -> Tensor:
    assert like is not None
    return y.permute(0, 2, 3, 1).unflatten(0, like.shape[:2])


def convolve(attrs: Attrs, x: Tensor | None, w: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """A convolution with weights [made, taken of a group, rows, columns]."""
    planes = _planes(x)
    top, left, bottom, right = attrs.get("pad", (0, 0, 0, 0))
    padding = (top, left)
    if (top, left) != (bottom, right):
        planes, padding = F.pad(planes, (left, right, top, bottom)), (0, 0)
    stride, dilation = tuple(attrs.get("stride", (1, 1))), tuple(attrs.get("dilation", (1, 1)))
    return _images(F.conv2d(planes, w, bias, stride, padding, dilation, groups), x)


def deconvolve(attrs: Attrs, x: Tensor | None, w: Tensor, groups: int, size: tuple[int, ...]) -> Tensor:
    """A transposed convolution with weights [taken, made of a group, rows, columns], cut or filled up to `size`."""
    stride, dilation = tuple(attrs.get("stride", (1, 1))), tuple(attrs.get("dilation", (1, 1)))
    y = F.conv_transpose2d(_planes(x), w, None, stride, 0, 0, groups, dilation)
    top, left = attrs.get("pad", (0, 0, 0, 0))[:2]
    (rows, columns), (height, width) = y.shape[2:], size
    return _images(F.pad(y, (-left, width + left - columns, -top, height + top - rows)), x)


def pool(attrs: Attrs, x: Tensor | None, size: tuple[int, ...]) -> Tensor:
    """The largest or the mean of every window; `size` is that of the result."""
    planes = _planes(x)
    kernel, stride = tuple(attrs["kernel"]), tuple(attrs.get("stride", (1, 1)))
    dilation, pad = tuple(attrs.get("dilation", (1, 1))), tuple(attrs.get("pad", (0, 0, 0, 0)))
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(size, stride, kernel, dilation, strict=True)]
    lack = [n - have - front for n, have, front in zip(reach, planes.shape[2:], pad, strict=False)]
    most = attrs["kind"] == "max"
    padded = F.pad(planes, (pad[1], lack[1], pad[0], lack[0]), value=-torch.inf if most else 0.0)
    if most:
        return _images(F.max_pool2d(padded, kernel, stride, 0, dilation), x)
    taps = torch.ones(planes.shape[1], 1, *kernel, dtype=planes.dtype, device=planes.device)
    total = F.conv2d(padded, taps, None, stride, 0, dilation, planes.shape[1])
    counts = [_counts(attrs, axis, size[axis], planes.shape[2 + axis]) for axis in (0, 1)]
    return _images(total / torch.as_tensor(np.outer(*counts), dtype=planes.dtype, device=planes.device), x)


def _counts(attrs: Attrs, axis: int, made: int, taken: int) -> Any:
    """How many taps of each window count along an axis; at least 1."""
    step, dilation = attrs.get("stride", (1, 1))[axis], attrs.get("dilation", (1, 1))[axis]
    pad = attrs.get("pad", (0, 0, 0, 0))
    front, back = (pad[axis], pad[axis + 2]) if attrs.get("include_pad") else (0, 0)
    at = np.arange(made)[:, None] * step - pad[axis] + np.arange(attrs["kernel"][axis]) * dilation
    return np.maximum(((at >= -front) & (at < taken + back)).sum(1), 1)
