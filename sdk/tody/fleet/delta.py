"""The difference between two model files, tensor by tensor: what a device with the old one needs to make the new one.

    a delta = LZMA of: number of steps (u32), the steps (u8 kind, u32 from, u32 bytes each), then the data of all steps

A step appends to the new file: 0, bytes of the old one; 1, its own data; 2, the old bytes plus its own, modulo 256 (integers
that moved a little); 3, the old bytes exclusive-or its own, which lie in four planes (floating point: signs and exponents
hardly change). The new file is proved by its SHA-256, so a delta need not be trusted; but none makes more bytes than agreed.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import TrustError
from .chunks import Part, parts

COPY, DATA, ADD, XOR = range(4)
MOST_STEPS = 1 << 16
_COUNT, _STEP = struct.Struct("<I"), struct.Struct("<BII")
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}]  # a device unpacks it in about one megabyte


class _Step(NamedTuple):
    kind: int
    at: int
    size: int


def make_delta(old: bytes, new: bytes) -> bytes:
    """What turns the old file into the new one.

    Raises:
        ModelError: one of them is no sound .tody file.
    """
    steps: list[_Step] = []
    data: list[bytes] = []
    for step, own in _steps(old, new):
        last = steps[-1] if steps else None
        if last and step.kind == last.kind == COPY and last.at + last.size == step.at:
            steps[-1] = _Step(COPY, last.at, last.size + step.size)
        else:
            steps.append(step)
        data.append(own)
    plain = _COUNT.pack(len(steps)) + b"".join(_STEP.pack(*step) for step in steps) + b"".join(data)
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=_FILTERS)


def _steps(old: bytes, new: bytes) -> Iterator[tuple[_Step, bytes]]:
    like: dict[str, list[Part]] = {}
    for part in parts(old):
        like.setdefault(part.kind, []).append(part)
    for part in parts(new):
        size, own = part.end - part.at, new[part.at : part.end]
        twins = like.get(part.kind, [])
        twin = twins.pop(0) if twins else None
        before = old[twin.at : twin.end] if twin else b""
        if twin and before == own:
            yield _Step(COPY, twin.at, size), b""
        elif twin and part.kind and len(before) == size:
            kind = ADD if part.dtype in ("int8", "uint8") else XOR
            yield _Step(kind, twin.at, size), _difference(kind, before, own)
        else:
            yield from _edited(before, own, twin.at if twin else 0)


def _edited(before: bytes, own: bytes, at: int) -> Iterator[tuple[_Step, bytes]]:
    """A stretch that begins and ends as the old one does, which lies at `at`: a name or a number in it has changed."""
    head = _alike(before, own)
    tail = _alike(before[head:][::-1], own[head:][::-1])
    if head:
        yield _Step(COPY, at, head), b""
    if middle := own[head : len(own) - tail]:
        yield _Step(DATA, 0, len(middle)), middle
    if tail:
        yield _Step(COPY, at + len(before) - tail, tail), b""


def _alike(a: bytes, b: bytes) -> int:
    """How many bytes at the front are the same."""
    size = min(len(a), len(b))
    differ = np.flatnonzero(np.frombuffer(a, np.uint8, size) != np.frombuffer(b, np.uint8, size))
    return int(differ[0]) if differ.size else size


def apply_delta(old: bytes, delta: bytes, size: int) -> Iterator[bytes]:
    """The new file, in pieces.

    Args:
        old: the file that the delta starts from.
        size: of the new file: not a byte more is made.

    Raises:
        TrustError: the delta is not sound (code malformed).
    """
    try:
        source = _Source(delta, size)
        (count,) = _COUNT.unpack(source.take(_COUNT.size))
        if count > MOST_STEPS:
            raise ValueError(f"it has {count} steps")
        steps = [_Step(*_STEP.unpack(source.take(_STEP.size))) for _ in range(count)]
        if sum(step.size for step in steps) != size:
            raise ValueError("its steps do not add up to the file")
        for step in steps:
            yield _made(step, old, source)
    except (lzma.LZMAError, struct.error, ValueError) as e:
        raise TrustError("a delta is not sound", str(e), "the whole model is fetched instead", "malformed") from e


def _made(step: _Step, old: bytes, source: _Source) -> bytes:
    before = old[step.at : step.at + step.size]
    if step.kind > XOR or (step.kind != DATA and len(before) != step.size):
        raise ValueError("a step reaches beyond the old file")
    if step.kind == COPY:
        return before
    own = source.take(step.size)
    return own if step.kind == DATA else _sum(step.kind, before, own)


def _difference(kind: int, before: bytes, after: bytes) -> bytes:
    a, b = np.frombuffer(before, np.uint8), np.frombuffer(after, np.uint8)
    if kind == ADD:
        return (b - a).tobytes()
    return b"".join((a ^ b)[plane::4].tobytes() for plane in range(4))


def _sum(kind: int, before: bytes, own: bytes) -> bytes:
    a, d = np.frombuffer(before, np.uint8), np.frombuffer(own, np.uint8)
    if kind == ADD:
        return (a + d).tobytes()
    whole, at = np.empty_like(d), 0
    for plane in range(4):
        part = whole[plane::4]
        part[...] = d[at : at + part.size]
        at += part.size
    return (a ^ whole).tobytes()


class _Source:
    """The unpacked delta, read from front to back. Unpacks no more than steps and data of a file of `size` bytes can take."""

    def __init__(self, delta: bytes, size: int) -> None:
        self._unpack, self._packed = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS), delta
        self._ready = b""
        self._left = size + _COUNT.size + MOST_STEPS * _STEP.size

    def take(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError("it is larger than the file")
        self._left -= size
        pieces = [self._ready]
        have = len(self._ready)
        while have < size:
            if self._unpack.eof or (self._unpack.needs_input and not self._packed):
                raise ValueError("it ends too early")
            pieces.append(self._unpack.decompress(self._packed, size - have))
            self._packed = b""
            have += len(pieces[-1])
        whole = b"".join(pieces)
        self._ready = whole[size:]
        return whole[:size]
