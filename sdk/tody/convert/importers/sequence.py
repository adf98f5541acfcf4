"""Sequences of tensors. They exist only while a model is imported: lengths and places must be known, and no node remains."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..builder import Builder
from ..operand import Call, Operand, Refusal, axis_of

MAX_PARTS = 4096  # of a tensor that is split


def _sequence(items: Sequence[Operand]) -> Operand:
    return Operand((), "sequence", items=tuple(items))


def _items(call: Call, index: int = 0) -> list[Operand]:
    items = call.input(index).items
    if items is None:
        raise ValueError(f"input {index} is no sequence")
    return list(items)


def _place(call: Call, index: int, count: int) -> int:
    """Position of an element, counted from the front; the last by default."""
    return axis_of(int(call.number(index, "position", -1)), count)


def construct(b: Builder, call: Call) -> Operand:
    return _sequence(call.operands())


def insert(b: Builder, call: Call) -> Operand:
    items = _items(call)
    place = int(call.number(2, "position", len(items)))
    if not -len(items) <= place <= len(items):
        raise ValueError(f"a sequence of {len(items)} has no position {place}")
    items.insert(place, call.input(1))
    return _sequence(items)


def erase(b: Builder, call: Call) -> Operand:
    items = _items(call)
    del items[_place(call, 1, len(items))]
    return _sequence(items)


def at(b: Builder, call: Call) -> Operand:
    items = _items(call)
    return items[_place(call, 1, len(items))]


def length(b: Builder, call: Call) -> Operand:
    return b.constant(np.int64(len(_items(call))))


def join(b: Builder, call: Call) -> Operand:
    """ConcatFromSequence: along a dimension that is there, or one that is new."""
    items, new = _items(call), bool(call.attrs.get("new_axis", 0))
    if not items:
        raise Refusal("it joins a sequence of nothing")
    axis = axis_of(call.attrs["axis"], items[0].rank + new)
    if new:
        items = [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in items]
    if all(x.data is not None for x in items):
        return b.constant(np.concatenate([np.asarray(x.data) for x in items], axis))
    return b.concat(items, axis)


def split(b: Builder, call: Call) -> Operand:
    """SplitToSequence: into parts of one size, of given sizes, or into single slices without their dimension."""
    x = call.input(0)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    size = x.shape[axis]
    single = call.optional(1) is None
    sizes = np.asarray(1) if single else call.array(1, "sizes of parts")
    parts = [int(n) for n in sizes] if sizes.ndim else _even(size, int(sizes))
    if sum(parts) != size or min(parts, default=0) < 0:
        raise ValueError(f"{size} elements cannot be split into {parts}")
    items = [b.slice(x, axis, sum(parts[:i]), n) for i, n in enumerate(parts)]
    if single and not call.attrs.get("keepdims", 1):
        items = [b.reshape(y, (*x.shape[:axis], *x.shape[axis + 1 :])) for y in items]
    return _sequence(items)


def _even(size: int, part: int) -> list[int]:
    if part < 1:
        raise ValueError(f"parts of {part} elements do not exist")
    if size > MAX_PARTS * part:
        raise Refusal(f"it makes more than {MAX_PARTS} parts")
    return [min(part, size - at) for at in range(0, size, part)]
