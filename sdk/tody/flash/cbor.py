"""CBOR (RFC 8949) as SMP uses it: numbers, strings, lists and maps. What comes from a wire is hostile until decoded."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from typing import Any

_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_DEPTH = 8  # levels of lists and maps
_INDEFINITE, _BREAK = 31, 0xFF


def encode(value: Any) -> bytes:
    """The shortest encoding of None, bool, int, float (as 32 bits), bytes, str, list or dict."""
    if value is None or isinstance(value, bool):
        return bytes([{False: 0xF4, True: 0xF5, None: 0xF6}[value]])
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfa" + struct.pack(">f", value)
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(map(encode, value))
    return _head(2, len(value)) + bytes(value)


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(f"{value} does not fit into 64 bits")


def decode(data: bytes) -> Any:
    """The one item that the bytes hold.

    Raises:
        ValueError: they are not one well-formed item, or it is nested too deeply.
    """
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise ValueError("bytes behind the item")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError("the item is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def item(self, depth: int) -> Any:
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        if major == 7:
            return self.simple(info)
        if info == _INDEFINITE and 2 <= major <= 5:
            return self.indefinite(major, depth)
        value = self.number(info)
        if major <= 1:
            return value if major == 0 else -1 - value
        if major <= 3:
            return self.string(major, value)
        if major == 6:  # a tag: what it says of the item does not matter here
            return self.item(depth + 1)
        if value > len(self.data) - self.at:
            raise ValueError("the item is cut off")
        if major == 4:
            return [self.item(depth + 1) for _ in range(value)]
        return dict(self.pair(depth) for _ in range(value))

    def number(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise ValueError("a reserved length")
        return int.from_bytes(self.take(1 << (info - 24)), "big")

    def string(self, major: int, length: int) -> bytes | str:
        data = self.take(length)
        return data if major == 2 else data.decode()

    def pair(self, depth: int) -> tuple[Any, Any]:
        key = self.item(depth + 1)
        if not isinstance(key, (str, int)):
            raise ValueError("a key that is neither text nor a number")
        return key, self.item(depth + 1)

    def indefinite(self, major: int, depth: int) -> Any:
        """Items up to a break, as Zephyr sends them."""
        items: list[Any] = []
        while self.at < len(self.data) and self.data[self.at] != _BREAK:
            items.append(self.pair(depth) if major == 5 else self.item(depth + 1))
        self.take(1)
        if major >= 4:
            return dict(items) if major == 5 else items
        if not all(isinstance(i, bytes if major == 2 else str) for i in items):
            raise ValueError("a string of pieces of another type")
        return (b"" if major == 2 else "").join(items)

    def simple(self, info: int) -> Any:
        if info in _FLOATS:
            return struct.unpack(_FLOATS[info], self.take(struct.calcsize(_FLOATS[info])))[0]
        values = {20: False, 21: True, 22: None, 23: None}
        if info not in values:
            raise ValueError("an unknown simple value")
        return values[info]
