"""Reads a FlexBuffers map of numbers, which is how custom operators of TFLite keep their options.

The last bytes are the root's value, its type and its width; vectors and maps lie before, reached by distances backwards.
The two low bits of a type say how wide its parts are, the others what it is. https://flatbuffers.dev/flexbuffers describes it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

from .flatbuffer import Damage

_MAP = 9
_KINDS = {1: "bhiq", 2: "BHIQ", 3: " efd", 26: "BHIQ"}  # integers, unsigned, floats, truth values: as struct has them by width
_INDIRECT = {6: 1, 7: 2, 8: 3}  # where a distance leads to the number: what it is then
_MOST = 256  # entries
_LONGEST_KEY = 256  # bytes

Number = int | float | bool


def numbers(data: bytes) -> dict[str, Number]:
    """The entries of a map that are numbers or truth values; {} of no bytes.

    Raises:
        Damage: it is no map, or parts of it lie outside.
    """
    return _Reader(data).root() if data else {}


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def root(self) -> dict[str, Number]:
        kind, width = divmod(self._unsigned(len(self._data) - 2, 0), 4)
        bytes_of_root = self._unsigned(len(self._data) - 1, 0)
        if kind != _MAP or bytes_of_root not in (1, 2, 4, 8):
            raise Damage("the options of a custom operator are no map")
        return self._map(self._behind(len(self._data) - 2 - bytes_of_root, bytes_of_root.bit_length() - 1), width)

    def _map(self, at: int, width: int) -> dict[str, Number]:
        step = 1 << width
        count = self._unsigned(at - step, width)
        if count > _MOST:
            raise Damage(f"a custom operator has {count} options; {_MOST} are the limit")
        keys = self._behind(at - 3 * step, width)
        key_width = self._unsigned(at - 2 * step, width).bit_length() - 1
        if not 0 <= key_width <= 3:
            raise Damage("the options of a custom operator have keys of no width")
        found = {}
        for i in range(count):
            kind, part = divmod(self._unsigned(at + count * step + i, 0), 4)
            place, form = at + i * step, width
            if kind in _INDIRECT:
                kind, place, form = _INDIRECT[kind], self._behind(place, width), part
            if kind in _KINDS:
                found[self._key(self._behind(keys + (i << key_width), key_width))] = self._number(kind, place, form)
        return found

    def _number(self, kind: int, at: int, width: int) -> Number:
        code = _KINDS[kind][width]
        if code == " ":
            raise Damage("the options of a custom operator have a float of one byte")
        (value,) = struct.unpack_from("<" + code, self._data, self._within(at, 1 << width))
        return bool(value) if kind == 26 else value

    def _key(self, at: int) -> str:
        end = self._data.find(b"\0", at, at + _LONGEST_KEY)
        return self._data[at : end if end >= 0 else at].decode(errors="replace")

    def _behind(self, at: int, width: int) -> int:
        """Where the distance at a place leads."""
        return self._within(at - self._unsigned(at, width), 0)

    def _unsigned(self, at: int, width: int) -> int:
        (value,) = struct.unpack_from("<" + "BHIQ"[width], self._data, self._within(at, 1 << width))
        return int(value)

    def _within(self, at: int, count: int) -> int:
        if not 0 <= at <= at + count <= len(self._data):
            raise Damage("the options of a custom operator point outside of them")
        return at
