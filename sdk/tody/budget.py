"""Where the bytes of a file go: weights and what fills their panels up, biases, multipliers, records, and so on."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from . import format as fmt
from .coding import HEADER, blocks

RECURRENT = {"lstm": 3, "gru": 3, "rnn": 3}  # with two weights: where biases begin
FILLING = "filling"


class Part(NamedTuple):
    """Bytes of the plain file, and bytes stored for them."""

    plain: int
    stored: int


class _Stretch(NamedTuple):
    """What begins at a byte of the plain file, up to the next one."""

    start: int
    name: str
    filled: float = 0.0  # which share of it fills panels up


def parts(data: fmt.Data) -> dict[str, Part]:
    """What a file is made of, by name, in no order.

    "filling" is what panels lack to whole ones. In a coded file a block that holds several kinds counts for each by its share
    of the plain bytes, but none of it for filling.

    Raises:
        ModelError: the file is damaged.
    """
    plain = fmt.plain(data)
    stretches = _stretches(fmt.read(plain), fmt.read_header(plain))
    coded = fmt.read_header(data).coded
    found: dict[str, list[float]] = {}
    for at, size, stored in [(0, HEADER, HEADER), *blocks(data)] if coded else [(0, len(plain), len(plain))]:
        inside = list(_inside(stretches, at, at + size))
        counting = sum(count for name, count in inside if name != FILLING) if coded else size
        for name, count in inside:
            part = found.setdefault(name, [0.0, 0.0])
            part[0] += count
            part[1] += 0 if coded and name == FILLING and counting else count * stored / (counting or size)
    return {name: Part(round(whole), round(stored)) for name, (whole, stored) in found.items()}


def _inside(stretches: list[_Stretch], start: int, end: int) -> Iterator[tuple[str, float]]:
    """Names and numbers of the bytes from `start` to `end`."""
    starts = [each.start for each in stretches]
    for a, b in pairwise([start, *starts[bisect_right(starts, start) : bisect_left(starts, end)], end]):
        each = stretches[bisect_right(starts, a) - 1]
        yield each.name, (b - a) * (1 - each.filled)
        if each.filled:
            yield FILLING, (b - a) * each.filled


def _stretches(file: fmt.File, header: fmt.Header) -> list[_Stretch]:
    """All of the plain file. What is shared counts for what it is first."""
    names = _names(file)
    found = [_Stretch(0, "structure"), _Stretch(header.weights_at, "alignment")]
    for index, tensor in enumerate(file.tensors):
        if tensor.scale_count:
            found += _with_end(header.weights_at + tensor.scales_at, 4 * tensor.scale_count, "scales")
        if tensor.place == "weights":
            real = math.prod(tensor.shape) * fmt.DTYPES[tensor.dtype][1].itemsize
            filled = 1 - real / tensor.bytes if tensor.pack == "panels" else 0.0
            name = names.get(index, "constants")
            found += _with_end(header.weights_at + tensor.at, tensor.bytes, f"{tensor.dtype} {name}", filled)
    found += [_Stretch(header.meta_at, "metadata"), _Stretch(header.file_bytes - len(file.blob), "golden outputs")]
    known: dict[int, _Stretch] = {}
    for each in found:
        if each.start not in known or known[each.start].name == "alignment":
            known[each.start] = each
    return [known[start] for start in sorted(known)]


def _with_end(start: int, size: int, name: str, filled: float = 0.0) -> list[_Stretch]:
    return [_Stretch(start, name, filled), _Stretch(start + size, "alignment")]


def _names(file: fmt.File) -> dict[int, str]:
    """What constants are to the operators that take them, by tensor."""
    names: dict[int, str] = {}
    for record in file.records:
        for place, index in enumerate(record.inputs):
            if index is not None and file.tensors[index].place == "weights":
                names.setdefault(index, _name(record.op, place, file.tensors[index].dtype))
    return names


def _name(op: str, place: int, dtype: str) -> str:
    if op in fmt.MULTIPLIERS and place:
        if place >= fmt.MULTIPLIERS[op]:
            return "multipliers"
        return {1: "weights", fmt.BIAS: "biases"}.get(place, "constants")
    if op in RECURRENT and place:
        return "weights" if place < RECURRENT[op] else "biases"
    return "tables" if op == "lut" or dtype == "uint8" else "constants"
