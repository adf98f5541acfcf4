"""Gather and scatter. Constant indices become slices or tables of places; indices known at run time stay arithmetic."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..operand import Array, Call, Operand, Refusal, axis_of, strides_of
from .shape import pick

_MAX_ROUNDS = 64  # updates of the same place by a scatter that adds
_COMBINE = {"add": "add", "mul": "mul", "max": "max", "min": "min"}


def gather(b: Builder, call: Call) -> Operand:
    x, indices = call.input(0), call.input(1)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    if indices.data is None:
        return b.gather(x, _wrapped(b, indices, x.shape[axis]), axis)
    places = _checked(indices.data, x.shape[axis])
    steps = _steps(places)
    if steps is not None:
        strides = strides_of(x.shape)
        shape = x.shape[:axis] + places.shape + x.shape[axis + 1 :]
        inner = [step * strides[axis] for step in steps]
        return b.strided(x, shape, [*strides[:axis], *inner, *strides[axis + 1 :]], int(places.flat[0]) * strides[axis])
    return b.gather(x, b.constant(places.astype(np.int32)), axis)


def _steps(places: Array) -> list[int] | None:
    """What a step along each dimension adds to the place, if it adds the same everywhere."""
    if not places.size:
        return None
    start, origin = int(places.flat[0]), (0,) * places.ndim
    steps = [int(np.take(places, 1, d)[origin[1:]]) - start if n > 1 else 0 for d, n in enumerate(places.shape)]
    line = sum(
        (np.arange(n) * s).reshape([-1 if e == d else 1 for e in range(places.ndim)])
        for d, (n, s) in enumerate(zip(places.shape, steps, strict=True))
    )
    return steps if np.array_equal(np.broadcast_to(start + line, places.shape), places) else None


def _checked(indices: Array, size: int) -> Array:
    places = np.where(indices < 0, indices + size, indices).astype(np.int64)
    if places.size and not 0 <= places.min() <= places.max() < size:
        raise ValueError(f"an index lies outside of the dimension of {size}")
    return places


def _wrapped(b: Builder, indices: Operand, size: int) -> Operand:
    """Indices known at run time, counted from the front."""
    return b.scalar("mod", b.cast(indices, "int32"), size)


def gather_elements(b: Builder, call: Call) -> Operand:
    x, indices = call.input(0), call.input(1)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    stride = strides_of(x.shape)[axis]
    base = _base(indices.shape, x.shape, axis)
    if indices.data is not None:
        return pick(b, x, base + _checked(indices.data, x.shape[axis]) * stride)
    along = b.scalar("mul", _wrapped(b, indices, x.shape[axis]), stride)
    return b.gather(b.reshape(x, (x.size,)), b.binary("add", along, b.constant(base.astype(np.int32))), 0)


def _base(shape: tuple[int, ...], of: tuple[int, ...], axis: int) -> Array:
    """Place of each index position in the flattened `of`, its dimension `axis` left out."""
    base = np.zeros(shape, np.int64)
    for d, (n, stride) in enumerate(zip(shape, strides_of(of), strict=True)):
        if d != axis:
            base += (np.arange(n) * stride).reshape([-1 if e == d else 1 for e in range(len(shape))])
    return base


def gather_nd(b: Builder, call: Call) -> Operand:
    x, indices, batch = call.input(0), call.input(1), call.attrs.get("batch_dims", 0)
    depth = indices.shape[-1]
    if batch + depth > x.rank:
        raise ValueError(f"{depth} indices are too many for {x.rank} dimensions")
    rows, inner = x.shape[: batch + depth], x.shape[batch + depth :]
    strides = strides_of(rows)
    start = _batch_start(rows, batch, indices.shape[:-1])
    flat = b.reshape(x, (int(np.prod(rows)), *inner))
    if indices.data is not None:
        parts = [_checked(indices.data[..., i], rows[batch + i]) * strides[batch + i] for i in range(depth)]
        return b.gather(flat, b.constant((start + sum(parts)).astype(np.int32)), 0)
    place = b.constant(start.astype(np.int32))
    for i in range(depth):
        column = b.reshape(b.slice(indices, indices.rank - 1, i, 1), indices.shape[:-1])
        place = b.binary("add", b.scalar("mul", _wrapped(b, column, rows[batch + i]), strides[batch + i]), place)
    return b.gather(flat, place, 0)


def _batch_start(rows: tuple[int, ...], batch: int, shape: tuple[int, ...]) -> Array:
    start = np.zeros(shape, np.int64)
    for d in range(batch):
        start += (np.arange(rows[d]) * strides_of(rows)[d]).reshape([-1 if e == d else 1 for e in range(len(shape))])
    return start


def scatter_elements(b: Builder, call: Call) -> Operand:
    x, indices, updates = call.input(0), call.array(1, "indices"), call.input(2)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    places = _base(indices.shape, x.shape, axis) + _checked(indices, x.shape[axis]) * strides_of(x.shape)[axis]
    return _scattered(b, x, places, updates, call.attrs.get("reduction", "none"))


def scatter_nd(b: Builder, call: Call) -> Operand:
    x, indices, updates = call.input(0), call.array(1, "indices"), call.input(2)
    depth = indices.shape[-1]
    strides = strides_of(x.shape)
    start = np.zeros(indices.shape[:-1], np.int64)
    for i in range(depth):
        start += _checked(indices[..., i], x.shape[i]) * strides[i]
    inner = np.arange(int(np.prod(x.shape[depth:])))
    return _scattered(b, x, (start[..., None] + inner).reshape(updates.shape), updates, call.attrs.get("reduction", "none"))


def _scattered(b: Builder, x: Operand, places: Array, updates: Operand, reduction: str) -> Operand:
    """Write updates to places of the flattened operand, one after the other."""
    flat, news = b.reshape(x, (x.size,)), b.reshape(updates, (updates.size,))
    places = places.reshape(-1)
    if reduction == "none":
        return b.reshape(_overwritten(b, flat, places, news), x.shape)
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], places[order])
    turn = np.empty(places.size, np.int64)
    turn[order] = np.arange(places.size) - first  # how many updates of the same place came before
    rounds = int(turn.max(initial=-1)) + 1
    if rounds > _MAX_ROUNDS:
        raise Refusal(f"{rounds} updates fall on one place; {_MAX_ROUNDS} is the limit")
    for i in range(rounds):
        mine = np.flatnonzero(turn == i)
        changed = b.binary(_COMBINE[reduction], pick(b, flat, places[mine]), pick(b, news, mine))
        flat = _overwritten(b, flat, places[mine], changed)
    return b.reshape(flat, x.shape)


def _overwritten(b: Builder, flat: Operand, places: Array, news: Operand) -> Operand:
    if not places.size:
        return flat
    table = np.arange(flat.size)
    table[places] = flat.size + np.arange(places.size)
    return pick(b, b.concat([flat, news], 0), table)
