"""Reads FlatBuffers by a schema written as text. Every offset is proved to lie in the file before anything is read through it.

A table begins with the distance back to its vtable, which lists where in the table each field stands (0: absent, the default
counts). Strings, vectors and other tables are reached by a distance forward. https://flatbuffers.dev/internals describes it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ...errors import ModelError

_SCALARS = {
    "bool": "?", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "f32": "f",
}  # fmt: skip
_MOST_READ = 1 << 24  # bytes that one may make us read; the content of byte vectors is not read and does not count
_LONGEST_TEXT = 4096  # bytes of a string that are kept

Table = dict[str, Any]


class Damage(ModelError):
    """The file does not hold what it says it does."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "the TFLite file is damaged or truncated", why, "export the model again, or copy it again from its source"
        )


class FlatBuffer:
    """One file.

    Args:
        content: its bytes.
        schema: table -> its fields by slot, "name:type" or "name:type=default", separated by spaces; "-" for one that is not
            wanted. A type is a scalar (i8 to u64, f32, bool), "string", "place" (where a table of a type known later stands, or
            None), the name of a table, or one of these but place in brackets for a vector of them.

    A file cannot make us read more than eight times its size by sharing its parts, nor more than 16 MB.
    """

    def __init__(self, content: bytes, schema: Mapping[str, str]) -> None:
        self.content, self.schema = content, schema
        self._left = min(8 * len(content), _MOST_READ)

    def root(self, table: str) -> Table:
        return self.table(self._forward(0), table)

    def table(self, at: int, name: str) -> Table:
        """All fields of the table at a place."""
        return self._fields(at, self.schema[name])

    def options(self, at: int | None, fields: str) -> Table:
        """All fields of a table that is spelt here; their defaults where there is none."""
        if at is None:
            return {field: _absent(kind, default) for field, kind, default in _fields(fields) if field}
        return self._fields(at, fields)

    def _fields(self, at: int, fields: str) -> Table:
        self._spend(8)
        vtable = at - self._number("i", at)
        size, _ = self._number("H", vtable), self._number("H", vtable + 2)
        found: Table = {}
        for slot, (field, kind, default) in enumerate(_fields(fields)):
            entry = 4 + 2 * slot
            step = self._number("H", vtable + entry) if entry + 2 <= size else 0
            if field:
                found[field] = self._field(at + step, kind) if step else _absent(kind, default)
        return found

    def _field(self, at: int, kind: str) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind], at)
        target = self._forward(at)
        if kind == "place":
            return target
        if kind == "string":
            return self._string(target)
        if kind.startswith("["):
            return self._vector(target, kind[1:-1])
        return self.table(target, kind)

    def _vector(self, at: int, kind: str) -> Any:
        count = self._number("I", at)
        if kind in _SCALARS:
            dtype = np.dtype("<" + _SCALARS[kind])
            self._within(at + 4, count * dtype.itemsize)
            self._spend(0 if kind == "u8" else count * dtype.itemsize)
            return np.frombuffer(self.content, dtype, count, at + 4)
        self._within(at + 4, 4 * count)
        self._spend(4 * count)
        return [self._field(at + 4 + 4 * i, kind) for i in range(count)]

    def _string(self, at: int) -> str:
        count = self._number("I", at)
        self._within(at + 4, count)
        kept = self.content[at + 4 : at + 4 + min(count, _LONGEST_TEXT)]
        self._spend(len(kept))
        return kept.decode(errors="replace")

    def _forward(self, at: int) -> int:
        distance = int(self._number("I", at))
        if not distance:
            raise Damage(f"an offset at byte {at} leads nowhere")
        return at + distance

    def _number(self, code: str, at: int) -> Any:
        self._within(at, struct.calcsize("<" + code))
        return struct.unpack_from("<" + code, self.content, at)[0]

    def _within(self, at: int, count: int) -> None:
        if not 0 <= at <= at + count <= len(self.content):
            raise Damage(f"bytes {at} to {at + count} are wanted, it has {len(self.content)}")

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Damage("its parts are shared so often that they would take more memory than the file accounts for")


@cache
def _fields(text: str) -> list[tuple[str, str, str]]:
    """(name, type, default) by slot; no name: not wanted."""
    found = []
    for entry in text.split():
        name, _, rest = entry.partition(":")
        kind, _, default = rest.partition("=")
        found.append(("" if name == "-" else name, kind, default))
    return found


def _absent(kind: str, default: str) -> Any:
    if kind in _SCALARS:
        return float(default or 0) if kind == "f32" else bool(int(default or 0)) if kind == "bool" else int(default or 0)
    if kind.startswith("["):
        return np.zeros(0, "<" + _SCALARS[kind[1:-1]]) if kind[1:-1] in _SCALARS else []
    return "" if kind == "string" else None
