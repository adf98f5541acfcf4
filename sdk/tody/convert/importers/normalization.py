"""Normalisation over batches, layers, groups and instances."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Builder
from ..operand import Call, Operand, Refusal, axes_of, axis_of


def batch_normalization(b: Builder, call: Call) -> Operand:
    """As one factor and one addend per channel; the passes put them into the convolution before."""
    if call.attrs.get("training_mode", 0) or any(call.wants(i) for i in range(1, 5)):
        raise Refusal("it learns from the batch", "export the model in inference mode")
    x = call.input(0)
    wide = (1, -1) + (1,) * (x.rank - 2)
    params = [call.input(i) for i in range(1, 5)]
    epsilon = call.attrs.get("epsilon", 1e-5)
    if all(p.data is not None for p in params):
        scale, bias, mean, var = (np.asarray(p.data, np.float64) for p in params)
        factor = scale / np.sqrt(var + epsilon)
        addend = (bias - mean * factor).astype(np.float32)
        y = b.binary("mul", x, b.constant(factor.astype(np.float32).reshape(wide)))
        return b.binary("add", y, b.constant(addend.reshape(wide)))
    shape = (1, x.shape[1]) + (1,) * (x.rank - 2)
    scale_, bias_, mean_, var_ = (b.reshape(b.cast(p, "float32"), shape) for p in params)
    root = b.unary("sqrt", b.scalar("add", var_, epsilon))
    return b.binary("add", b.binary("mul", b.binary("div", b.binary("sub", x, mean_), root), scale_), bias_)


def instance_normalization(b: Builder, call: Call) -> Operand:
    """One channel is normalised like a layer, in any layout: that is how a GroupNormalization of one group is exported."""
    x = call.input(0)
    n, c = x.shape[:2]
    if c == 1:
        attrs = {"axis": 1, "epsilon": call.attrs.get("epsilon", 1e-5), "rms": 0}
        y = b.binary("mul", _layer_norm(b, x, attrs, None, None), b.reshape(call.input(1), (1,) * x.rank))
        return b.binary("add", y, b.reshape(call.input(2), (1,) * x.rank))
    image = b.nhwc(x if x.rank == 4 else b.reshape(x, (n, c, 1, x.size // (n * c))))
    attrs = {"epsilon": call.attrs.get("epsilon", 1e-5)}
    y = b.emit("instance_norm", [image, call.input(1), call.input(2)], image.shape, x.dtype, attrs)
    return b.reshape(b.nchw(y), x.shape)


def layer_normalization(b: Builder, call: Call) -> list[Operand]:
    x = call.input(0)
    axis, epsilon = axis_of(call.attrs.get("axis", -1), x.rank), call.attrs.get("epsilon", 1e-5)
    dims = range(axis, x.rank)
    attrs = {"axis": axis, "epsilon": epsilon, "rms": int(call.op == "RMSNormalization")}
    found = [_layer_norm(b, x, attrs, call.optional(1), call.optional(2))]
    if call.wants(1) or call.wants(2):
        mean = b.reduce("mean", x, dims)
        centred = b.binary("sub", x, mean)
        variance = b.reduce("mean", b.binary("mul", centred, centred), dims)
        found += [mean, b.unary("reciprocal", b.unary("sqrt", b.scalar("add", variance, epsilon)))]
    return found


def _layer_norm(b: Builder, x: Operand, attrs: dict[str, Any], scale: Operand | None, bias: Operand | None) -> Operand:
    """Scale and bias go into the primitive where their shapes are those of the normalised dimensions."""
    inner = x.shape[attrs["axis"] :]
    if all(p is None or p.shape == inner for p in (scale, bias)):
        inputs = [x, scale, bias] if bias is not None else [x, scale] if scale is not None else [x]
        return b.emit("layer_norm", inputs, x.shape, x.dtype, attrs)
    y = b.emit("layer_norm", [x], x.shape, x.dtype, attrs)
    for fn, p in (("mul", scale), ("add", bias)):
        y = b.binary(fn, y, p) if p is not None else y
    return y


def group_normalization(b: Builder, call: Call) -> Operand:
    """Before opset 21 scale and bias are per group, from then on per channel."""
    x, groups = call.input(0), call.attrs["num_groups"]
    n, c = x.shape[:2]
    if groups < 1 or c % groups:
        raise ValueError(f"{c} channels do not make {groups} groups")
    attrs = {"axis": 2, "epsilon": call.attrs.get("epsilon", 1e-5), "rms": 0}
    y = _layer_norm(b, b.reshape(x, (n, groups, x.size // (n * groups))), attrs, None, None)
    wide = (1, groups, 1) if call.opset < 21 else (1, c) + (1,) * (x.rank - 2)
    y = y if call.opset < 21 else b.reshape(y, x.shape)
    y = b.binary("mul", y, b.reshape(call.input(1), wide))
    return b.reshape(b.binary("add", y, b.reshape(call.input(2), wide)), x.shape)


def mean_variance_normalization(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axes = axes_of(list(call.attrs.get("axes", [0, 2, 3])), x.rank)
    centred = b.binary("sub", x, b.reduce("mean", x, axes))
    variance = b.reduce("mean", b.binary("mul", centred, centred), axes)
    return b.binary("div", centred, b.scalar("add", b.unary("sqrt", variance), 1e-9))
