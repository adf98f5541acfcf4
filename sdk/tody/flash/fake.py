"""fake://board: a device without a device, that speaks the same messages from memory. It forgets when the program ends."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from ..errors import TrustError, UsageError
from . import frame
from .server import Server

SLOT_BYTES, ARENA_BYTES = 1 << 20, 1 << 19
_SHA = 32


@dataclass
class _Slot:
    data: bytes = b""
    wanted: int = 0  # bytes of the upload
    sha: bytes = bytes(_SHA)
    state: str = "empty"


class FakeLine:
    """The line to a device of its own."""

    def __init__(self, board: str) -> None:
        self.sent = self.received = 0
        self.rate = 1e6
        self._device = FakeDevice(board)
        self._answers: deque[bytes] = deque()

    def send(self, message: bytes) -> None:
        self.sent += frame.wire_bytes(len(message))
        self._answers.append(self._device.answer(message))

    def receive(self, timeout: float) -> frame.Event | None:
        if not self._answers:
            time.sleep(timeout)
            return None
        self.received += frame.wire_bytes(len(self._answers[0]))
        return self._answers.popleft()

    def close(self) -> None:
        self._answers.clear()


class FakeDevice(Server):
    """A board whose slots are in memory."""

    def __init__(self, board: str) -> None:
        super().__init__(_Memory(), board, "none", ARENA_BYTES, kernels="portable")


class _Memory:
    """Slots in memory."""

    floor = 0
    starts = 1

    def __init__(self) -> None:
        self.slot_bytes = SLOT_BYTES
        self.places = [_Slot(), _Slot()]
        self.target = self.places[0]
        self.current: _Slot | None = None
        self.before: _Slot | None = None

    def slots(self) -> list[dict[str, Any]]:
        return [{"state": s.state, "run": s is self.current, "bytes": len(s.data), "sha": s.sha, "sec": 0} for s in self.places]

    def data(self, slot: int) -> bytes:
        return self.places[slot].data

    def begin(self, size: int, sha: bytes, security: int) -> int:
        same = [s for s in self.places if s.sha == sha and s.wanted == size]
        self.target = same[0] if same else next(s for s in self.places if s is not self.current)
        if not same:
            self._empty(self.target)
            self.target.wanted, self.target.sha, self.target.state = size, sha, "loading"
        return len(self.target.data)

    def _empty(self, slot: _Slot) -> None:
        if slot is self.before:
            self.before = None
        slot.data, slot.wanted, slot.sha, slot.state = b"", 0, bytes(_SHA), "empty"

    def write(self, data: bytes) -> None:
        self.target.data += data

    def finish(self) -> None:
        if hashlib.sha256(self.target.data).digest() != self.target.sha:
            self._empty(self.target)
            raise TrustError("the file is another one", "its SHA-256 differs")
        self.target.state = "ready"

    def erase(self, slot: int) -> None:
        if self.places[slot] is self.current:
            raise UsageError("the slot is in use", "its model runs")
        self._empty(self.places[slot])

    def activate(self, slot: int) -> None:
        self.before, self.current = self.current, self.places[slot]
        self.current.state = "trial"

    def confirm(self) -> None:
        for slot in self.places:
            slot.state = "confirmed" if slot is self.current else "ready" if slot.state == "confirmed" else slot.state

    def back(self) -> None:
        if self.before is None or self.current is None:
            raise UsageError("there is no model before", "this is the first one")
        self.current.state, self.current, self.before = "broken", self.before, None

    def reset(self) -> None:
        """Nothing: what a reset forgets is not kept here."""
