"""Every primitive operator of docs/format.md on torch tensors, differentiable.

A value of the graph is a tensor with one more dimension in front: the samples of a batch. So a graph that was made for one
picture is trained on many at once. Constants have that dimension with extent 1.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...convert import views
from ...convert.graph import Graph, Node
from . import windows
from .functions import BINARY, UNARY, activate

Inputs = Sequence[Tensor | None]


@dataclass(frozen=True)
class Site:
    """A node where it stands: what its operator is told once, when the module is built."""

    graph: Graph
    node: Node

    def __getitem__(self, name: str) -> Any:
        return self.node.attrs[name]

    def get(self, name: str, default: Any) -> Any:
        return self.node.attrs.get(name, default)

    @property
    def activation(self) -> tuple[str, float, float]:
        return tuple(self.get("activation", ("none", 0.0, 0.0)))

    def taken(self, i: int = 0) -> tuple[int, ...]:
        """The shape of input i."""
        return self.graph.values[self.node.inputs[i] or ""].shape

    @property
    def made(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.graph.values[self.node.outputs[0] or ""].shape

    @property
    def dtype(self) -> str:
        """The dtype of the first output."""
        return self.graph.values[self.node.outputs[0] or ""].dtype


def _optional(x: Inputs, i: int) -> Tensor | None:
    return x[i] if i < len(x) else None


def _whole(tensor: Tensor | None) -> Tensor:
    """A constant without the dimension of the batch."""
    assert tensor is not None
    return tensor[0]


def _finish(site: Site, y: Tensor, x: Inputs) -> Tensor:
    """Addend and activation of a linear operator."""
    addend = _optional(x, 3)
    return activate(y if addend is None else y + addend, site.activation)


def _bias(x: Inputs) -> Tensor | None:
    bias = _optional(x, 2)
    return None if bias is None else bias.flatten()


def conv(site: Site, x: Inputs) -> Tensor:
    w = _whole(x[1])
    rows, columns = site["kernel"]
    w = w.reshape(w.shape[0] * w.shape[1], rows, columns, w.shape[3]).permute(0, 3, 1, 2)
    return _finish(site, windows.convolve(site.node.attrs, x[0], w, _bias(x), int(site.get("groups", 1))), x)


def dwconv(site: Site, x: Inputs) -> Tensor:
    w = _whole(x[1])
    rows, columns = site["kernel"]
    w = w.t().reshape(w.shape[1], 1, rows, columns)
    return _finish(site, windows.convolve(site.node.attrs, x[0], w, _bias(x), w.shape[0]), x)


def deconv(site: Site, x: Inputs) -> Tensor:
    w = _whole(x[1])
    rows, columns = site["kernel"]
    groups, made, _, taken = w.shape
    w = w.permute(0, 3, 1, 2).reshape(groups * taken, made, rows, columns)
    y = windows.deconvolve(site.node.attrs, x[0], w, groups, site.made[1:3])
    bias = _bias(x)
    return activate(y if bias is None else y + bias, site.activation)


def dense(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    return _finish(site, F.linear(x[0], _whole(x[1])[0, :, 0], _bias(x)), x)


def matmul(site: Site, x: Inputs) -> Tensor:
    a, b = x[0], x[1]
    assert a is not None and b is not None
    return a @ (b.transpose(-1, -2) if site.get("transpose_b", 0) else b)


def pool(site: Site, x: Inputs) -> Tensor:
    return windows.pool(site.node.attrs, x[0], site.made[1:3])


def unary(site: Site, x: Inputs) -> Tensor:
    name, a, b = site["function"]
    assert x[0] is not None
    return UNARY[name](x[0], a, b)


def binary(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None and x[1] is not None
    return activate(BINARY[site["fn"]](x[0], x[1]), site.activation)


def where(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None and x[1] is not None and x[2] is not None
    return torch.where(x[0], x[1], x[2])


def cast(site: Site, x: Inputs) -> Tensor:
    """Between dtypes that are not quantised; integers are held to the range of the target."""
    assert x[0] is not None
    dtype: torch.dtype = getattr(torch, site.dtype)
    if x[0].is_floating_point() and not dtype.is_floating_point and dtype != torch.bool:
        info = torch.iinfo(dtype)
        return x[0].nan_to_num(0).double().clamp(info.min, info.max).to(dtype)
    return x[0].to(dtype)


def softmax(site: Site, x: Inputs) -> Tensor:
    function = F.log_softmax if site.get("log", 0) else F.softmax
    return function(x[0], dim=int(site["axis"]) + 1)


def layer_norm(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    dims = tuple(range(int(site["axis"]) + 1, x[0].dim()))
    centred = x[0] if site.get("rms", 0) else x[0] - x[0].mean(dims, keepdim=True)
    return _scaled(x, centred / torch.sqrt((centred * centred).mean(dims, keepdim=True) + site["epsilon"]))


def instance_norm(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    centred = x[0] - x[0].mean((2, 3), keepdim=True)
    y = centred / torch.sqrt((centred * centred).mean((2, 3), keepdim=True) + site["epsilon"])
    return activate(_scaled(x, y), site.activation)


def _scaled(x: Inputs, y: Tensor) -> Tensor:
    scale, bias = _optional(x, 1), _optional(x, 2)
    y = y if scale is None else y * _whole(scale)
    return y if bias is None else y + _whole(bias)


def resize(site: Site, x: Inputs) -> Tensor:
    y = x[0]
    assert y is not None
    for axis, index, weight in ((2, _whole(x[1]), _whole(x[2])), (3, _whole(x[3]), _whole(x[4]))):
        wide = [-1 if d == axis else 1 for d in range(y.dim())]
        taps = [y.index_select(axis, index[:, i].long()) * weight[:, i].reshape(wide) for i in range(index.shape[1])]
        y = sum(taps[1:], taps[0])
    return y


def copy(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    view = views.of_node(site.node, site.made)
    order = views.permutation(view, site.taken())
    if order is not None:
        return x[0].permute(0, *(d + 1 for d in order))
    at = np.full(view.shape, view.offset, np.int64)
    for axis, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        at += (np.arange(extent) * stride).reshape([-1 if d == axis else 1 for d in range(len(view.shape))])
    picked = x[0].flatten(1).index_select(1, _index(at.reshape(-1), x[0]))
    return picked.reshape(-1, *site.made)


def _index(array: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.int64, device=like.device)


def reshape(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    return x[0].reshape(-1, *site.made)


def concat(site: Site, x: Inputs) -> Tensor:
    parts = [part for part in x if part is not None]
    batch = max(part.shape[0] for part in parts)
    return torch.cat([part.expand(batch, *part.shape[1:]) for part in parts], int(site["axis"]) + 1)


def pad(site: Site, x: Inputs) -> Tensor:
    y = x[0]
    assert y is not None
    taken, made = site.taken(), site.made
    before = [int(n) for n in site["before"]][: len(made)]
    after = [new - old - front for new, old, front in zip(made, taken, before, strict=True)]
    if site["mode"] == "constant":
        widths = [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair]
        return F.pad(y, widths, value=float(site["value"]))
    for axis, width in enumerate(zip(before, after, strict=True)):
        if any(width):
            y = y.index_select(axis + 1, _index(np.pad(np.arange(taken[axis]), width, mode=site["mode"]), y))
    return y


def gather(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None and x[1] is not None
    axis, last = int(site["axis"]) + 1, site.taken()[int(site["axis"])] - 1
    at = x[1].long().clamp(0, last)
    if at.shape[0] == 1:
        return x[0].index_select(axis, at.flatten()).reshape(-1, *site.made)
    rows = [sample.index_select(axis - 1, i.flatten()) for sample, i in zip(x[0].expand(len(at), *x[0].shape[1:]), at)]
    return torch.stack(rows).reshape(-1, *site.made)


def reduce(site: Site, x: Inputs) -> Tensor:
    y = x[0]
    assert y is not None
    dims = tuple(d + 1 for d in range(y.dim() - 1) if int(site["axes"]) >> d & 1)
    if site["fn"] == "prod":
        for d in dims:
            y = y.prod(d, keepdim=True)
        return y
    return {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}[site["fn"]](y, dims, keepdim=True)


def arg_reduce(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    axis, last = int(site["axis"]) + 1, bool(site.get("last", 0))
    y = x[0].flip(axis) if last else x[0]
    found = (torch.argmin if site.get("least", 0) else torch.argmax)(y, axis, keepdim=True)
    return (x[0].shape[axis] - 1 - found if last else found).int().reshape(-1, *site.made)


def topk(site: Site, x: Inputs) -> list[Tensor]:
    assert x[0] is not None
    axis = int(site["axis"]) + 1
    values, at = torch.sort(x[0], dim=axis, descending=not site.get("smallest", 0), stable=True)
    most = site.made[axis - 1]
    return [values.narrow(axis, 0, most), at.narrow(axis, 0, most).int()]


def cumsum(site: Site, x: Inputs) -> Tensor:
    assert x[0] is not None
    axis, reverse = int(site["axis"]) + 1, bool(site.get("reverse", 0))
    y = x[0].flip(axis) if reverse else x[0]
    total = y.cumsum(axis, dtype=y.dtype)
    total = total - y if site.get("exclusive", 0) else total
    return total.flip(axis) if reverse else total


OPERATORS: dict[str, Callable[[Site, Inputs], Tensor | list[Tensor]]] = {
    function.__name__: function
    for function in (
        conv, dwconv, deconv, dense, matmul, pool, unary, binary, where, cast, softmax, layer_norm, instance_norm, resize,
        copy, reshape, concat, pad, gather, reduce, arg_reduce, topk, cumsum,
    )
}  # fmt: skip
