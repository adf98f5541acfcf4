"""A model into a file of a device that has a file system: SMP's group 8, as Zephyr has it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from typing import Any

from ..errors import DeviceError
from .client import FILES, READ, WRITE, Client, Refused
from .upload import FIRST, HASH_SECONDS, Upload, piece_bytes

_CONTENT, _STATUS, _HASH, _CLOSE = 0, 1, 2, 4
_ELSEWHERE = 11  # refusal of a piece that does not belong behind what the device has
_OVERHEAD = 26  # bytes of CBOR at most around the bytes of a file and its name


class FileUpload(Upload):
    """An upload into a file, which it overwrites; on from where it was cut off if the device can tell what it has.

    Args:
        client: the line to the device.
        data: what the file shall hold.
        limit: bytes that a message may have, without header.
        name: of the file, as its file system says it: /lfs1/model.tody.

    Raises:
        DeviceError: the name is so long that no message has room for more.
    """

    def __init__(self, client: Client, data: bytes, limit: int, name: str) -> None:
        super().__init__(client, data, limit)
        self.name, self._overhead = name, _OVERHEAD + len(name.encode())
        if self._overhead > limit // 2:
            raise DeviceError(f"the name {name[:40]!r} is too long", f"a message has {limit} bytes", "choose a shorter one")

    def is_whole(self) -> bool:
        """Whether the file there holds these bytes: by the device's SHA-256, or read back where it makes none."""
        there = self._there()
        same = self._is_prefix(there) if there else False
        return there == len(self.data) and (self._read() == self.data if same is None else same)

    def _begin(self) -> int:
        """Where to go on: behind what lies there, if that is the begin of the file."""
        there = self._there()
        if not 0 < there <= len(self.data):
            return self._announce()
        same = self._is_prefix(there)
        if same is None:  # not shorter than what it confirmed of this upload; `is_whole` reads it back
            same = 0 < self.at <= there
        return there if same else self._announce()

    def _announce(self) -> int:
        values = {"off": 0, "len": len(self.data), "name": self.name, "data": self.data[:FIRST]}
        return self._offset(self.client.ask(FILES, WRITE, _CONTENT, values, f"write {self.name}", HASH_SECONDS))

    def _piece(self) -> tuple[int, int, dict[str, Any], int]:
        piece = self.data[self.at : self.at + self._room()]
        return FILES, _CONTENT, {"off": self.at, "name": self.name, "data": piece}, len(piece)

    def _goes_on(self, error: Refused) -> bool:
        """Whether to ask for the place to go on: an answer was lost, and the piece that came again is there already."""
        return (error.group, error.rc) == (FILES, _ELSEWHERE)

    def _explained(self, error: Refused) -> Exception:
        what = f"{self.name} could not be written, from byte {self.at} of {len(self.data)} on"
        return DeviceError(what, error.why, "is there room for it in that file system?")

    def _room(self) -> int:
        return piece_bytes(self.client, self.limit, self._overhead)

    def _there(self) -> int:
        """Bytes of the file; 0 if there is none. Closed first: what of an open file is stored is not known."""
        self._told(WRITE, _CLOSE, "close the file")
        size = self._told(READ, _STATUS, "how long the file is").get("len")
        return size if isinstance(size, int) else 0

    def _is_prefix(self, size: int) -> bool | None:
        """Whether the first bytes of the file are those of the data; None: the device makes no SHA-256."""
        digest = self._told(READ, _HASH, "compare the SHA-256", type="sha256", len=size).get("output")
        return digest == hashlib.sha256(self.data[:size]).digest() if isinstance(digest, bytes) else None

    def _read(self) -> bytes:
        """The file as it lies there, up to the length of the data."""
        there = b""
        while len(there) < len(self.data):
            piece = self._told(READ, _CONTENT, "read the file back", off=len(there)).get("data")
            if not isinstance(piece, bytes) or not piece:
                break
            there += piece
        return there

    def _told(self, op: int, command: int, name: str, **values: Any) -> dict[str, Any]:
        """What the device says of the file; nothing where it refuses."""
        try:
            return self.client.ask(FILES, op, command, {"name": self.name, **values}, name, HASH_SECONDS)
        except Refused:
            return {}
