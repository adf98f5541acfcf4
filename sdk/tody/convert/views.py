"""Strided views: what a `copy` node reads, how two of them compose, and when one is only a permutation or nothing at all.

A view (shape, offset, strides) makes y from the elements of x in row-major order: y[i] = x[offset + sum of i_d * strides_d].
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass

from .. import format as fmt
from .graph import Node

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """A strided way through the elements of a tensor."""

    shape: Shape
    offset: int
    strides: tuple[int, ...]


def contiguous(shape: Shape) -> tuple[int, ...]:
    """The strides of a row-major tensor."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def of_node(node: Node, shape: Shape) -> View:
    """The view of a `copy` node whose output has this shape."""
    strides = tuple(int(s) for s in node.attrs.get("stride", ()))[: len(shape)]
    return View(shape, int(node.attrs.get("offset", 0)), strides)


def attributes(view: View) -> dict[str, object]:
    """The attributes of a `copy` node that makes this view."""
    return {"offset": view.offset, "stride": view.strides}


def transpose(shape: Shape, order: tuple[int, ...]) -> View:
    """The view that is `x.transpose(order)` for an x of this shape."""
    strides = contiguous(shape)
    return View(tuple(shape[d] for d in order), 0, tuple(strides[d] for d in order))


def simplify(view: View) -> View:
    """The same elements with as few dimensions as possible: none of extent 1, neighbours merged where one stride serves."""
    dims: list[list[int]] = []
    for extent, stride in zip(view.shape, view.strides, strict=True):
        if extent == 1:
            continue
        if dims and dims[-1][1] == extent * stride:
            dims[-1] = [dims[-1][0] * extent, stride]
        else:
            dims.append([extent, stride])
    return View(tuple(d[0] for d in dims), view.offset, tuple(d[1] for d in dims))


def is_identity(view: View, size: int) -> bool:
    """Whether the view is all `size` elements of x in their order."""
    flat = simplify(view)
    return flat.offset == 0 and flat.strides in ((), (1,)) and math.prod(flat.shape) == size


def expand(view: View, shape: Shape) -> View | None:
    """A simplified view with its dimensions split into `shape`; None when `shape` merges what the view keeps apart."""
    strides: list[int] = []
    left = list(zip(view.shape, view.strides, strict=True))
    for extent in reversed(shape):
        if extent == 1:
            strides.append(0)
            continue
        if not left or left[-1][0] % extent:
            return None
        size, stride = left.pop()
        strides.append(stride)
        if size != extent:
            left.append((size // extent, stride * extent))
    full = View(shape, view.offset, tuple(reversed(strides)))
    return None if left else _name_units(full)


def _name_units(view: View) -> View:
    """Give dimensions of extent 1 the stride of their right neighbour's whole extent, as row-major order would."""
    strides = list(view.strides)
    for d in range(len(strides) - 1, -1, -1):
        if view.shape[d] == 1:
            strides[d] = strides[d + 1] * view.shape[d + 1] if d + 1 < len(strides) else 1
    return View(view.shape, view.offset, tuple(strides))


def _locate(offset: int, shape: Shape) -> list[int]:
    return [offset // stride % extent for extent, stride in zip(shape, contiguous(shape), strict=True)]


def _steps(view: View, shape: Shape) -> list[tuple[int, int, int]] | None:
    """Each dimension of `view` as (extent, dimension of `shape`, step along it), split where it runs over several."""
    strides = contiguous(shape)
    todo = list(zip(view.shape, view.strides, strict=True))[::-1]
    steps: list[tuple[int, int, int]] = []
    while todo:
        extent, stride = todo.pop()
        if stride == 0:
            steps.append((extent, 0, 0))
            continue
        j = next((j for j, s in enumerate(strides) if s <= abs(stride)), None)
        if j is None or stride % strides[j]:
            return None
        step = stride // strides[j]
        if (extent - 1) * abs(step) < shape[j]:
            steps.append((extent, j, step))
            continue
        inner = shape[j] // abs(step)
        if shape[j] % abs(step) or inner < 2 or extent % inner:
            return None
        todo += [(inner, stride), (extent // inner, stride * inner)]
    return steps


def compose(outer: View, inner: View) -> View | None:
    """One view for outer(inner(x)), simplified; None where no single view does it or it would need too many dimensions."""
    outer, inner = simplify(outer), simplify(inner)
    steps = _steps(outer, inner.shape)
    if steps is None:
        return None
    start = _locate(outer.offset, inner.shape)
    low, high = list(start), list(start)
    for extent, j, step in steps:
        if step:
            low[j] += min(0, step * (extent - 1))
            high[j] += max(0, step * (extent - 1))
    if any(a < 0 or b >= n for a, b, n in zip(low, high, inner.shape, strict=True)):
        return None
    offset = inner.offset + sum(i * s for i, s in zip(start, inner.strides, strict=True))
    strides = tuple(step * inner.strides[j] if step else 0 for _, j, step in steps)
    view = simplify(View(tuple(s[0] for s in steps), offset, strides))
    return view if len(view.shape) <= fmt.MAX_RANK else None


def permutation(view: View, shape: Shape) -> tuple[int, ...] | None:
    """The order for which the view is `x.transpose(order)`, x having `shape`; None when it is something else."""
    if view.offset or len(view.shape) != len(shape) or math.prod(view.shape) != math.prod(shape):
        return None
    strides = contiguous(shape)
    free = list(range(len(shape)))
    order: list[int | None] = [None] * len(shape)
    exact = [d for d in range(len(shape)) if view.shape[d] > 1] + [d for d in range(len(shape)) if view.shape[d] == 1]
    for d in exact:
        j = next((j for j in free if shape[j] == view.shape[d] and strides[j] == view.strides[d]), None)
        if j is not None:
            order[d] = j
            free.remove(j)
        elif view.shape[d] > 1:
            return None
    rest = iter(free)
    return tuple(next(rest) if j is None else j for j in order)


def columns(view: View, width: int) -> tuple[int, int] | None:
    """The first and one past the last column that a view of a matrix of this width reads; None if it cannot be told."""
    rows = 1 + (view.offset + sum(abs(s) * (n - 1) for n, s in zip(view.shape, view.strides, strict=True))) // width
    steps = _steps(simplify(view), (rows, width))
    if steps is None or any(step < 0 for _, _, step in steps):
        return None
    low = view.offset % width
    high = low + sum(step * (extent - 1) for extent, j, step in steps if j == 1)
    return (low, high + 1) if high < width else None


def narrow(view: View, width: int, low: int, high: int) -> View:
    """The same view of a matrix of which only the columns from low to high are left; it reads no others (`columns`)."""
    flat = simplify(view)
    rows = 1 + (view.offset + sum(abs(s) * (n - 1) for n, s in zip(view.shape, view.strides, strict=True))) // width
    steps = _steps(flat, (rows, width))
    assert steps is not None
    strides = tuple(step * (high - low) if j == 0 else step for _, j, step in steps)
    offset = view.offset // width * (high - low) + view.offset % width - low
    return simplify(View(tuple(extent for extent, _, _ in steps), offset, strides))
