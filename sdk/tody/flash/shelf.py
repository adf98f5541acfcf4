"""What a server keeps models on: the slots of a device."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, Protocol

Values = dict[str, Any]


class Shelf(Protocol):
    """Two slots for models. Where a number of a slot is none, IndexError; where something cannot be now, UsageError.

    Attributes:
        slot_bytes: of the largest file.
        floor: security number below which a file is refused.
        starts: that a model on trial has left.
    """

    @property
    def slot_bytes(self) -> int: ...
    @property
    def floor(self) -> int: ...
    @property
    def starts(self) -> int: ...

    def slots(self) -> list[Values]:
        """Of each: state, run, bytes, sha, sec, as docs/flash.md has them."""

    def data(self, slot: int) -> bytes:
        """The file in a slot, as far as it is there."""

    def begin(self, size: int, sha: bytes, security: int) -> int:
        """A file will come; how many of its first bytes are there already. What runs is left alone."""

    def write(self, data: bytes) -> None:
        """The bytes that follow."""

    def finish(self) -> None:
        """The file is whole; TrustError if its SHA-256 is another one."""

    def erase(self, slot: int) -> None: ...
    def activate(self, slot: int) -> None: ...
    def confirm(self) -> None: ...
    def back(self) -> None: ...
    def reset(self) -> None: ...
