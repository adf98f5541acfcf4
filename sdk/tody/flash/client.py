"""Questions to a device and their answers: SMP messages, repeated where the line loses them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

from ..errors import DeviceError, TodyError
from . import cbor, frame
from .transport import Line

READ, WRITE = 0, 2
OS, IMAGE, TODY = 0, 1, 65  # groups
MAX_TIMEOUT = 2.5  # seconds until a message is sent again, where the device has no work to do
PATIENCE = 10.0  # seconds without a byte after which a line is given up
TRIES = 40  # of one message, where bytes come but no sound answer
_LEAST_WAIT, _LONGER = 0.15, 0.05  # seconds: for the first answer, and more for each one after it
_FIRST_SHARE = 0.05

_HEADER = struct.Struct(">BBHHBB")
_VERSION = 1 << 3  # SMP version 2
_REASONS = {
    2: "it has not enough memory", 3: "it does not accept an argument", 4: "it took too long", 5: "it has no such thing",
    6: "not in its present state", 7: "the answer is too large", 8: "it does not know this command",
    9: "the bytes that it holds are not those that were sent", 10: "it is busy", 11: "it denies access",
}  # fmt: skip


class Refused(TodyError):
    """A device answered with an error. `rc` is its number (firmware/link/link.h)."""

    exit_code, kind = 6, "device"

    def __init__(self, command: str, rc: int) -> None:
        self.rc = rc
        super().__init__(f"the device refused: {command}", _REASONS.get(rc, f"it says {rc}"), "tody devices shows its state")


class Silent(DeviceError):
    """Nothing came back in time."""


class Client:
    """Sends one message at a time and waits for its answer.

    Attributes:
        on_text: is given each line of text that the device sends between messages.
        again: messages that had to be sent once more.
    """

    def __init__(self, line: Line, on_text: Callable[[str], None] | None = None) -> None:
        self.line, self.on_text = line, on_text or (lambda text: None)
        self.again = 0
        self._sequence = int(time.monotonic() * 100) % 256  # not that of a program before, whose answers may still come
        self._seconds = 2.0 / line.rate  # per byte of a message and its answer, as seen so far

    def ask(
        self, group: int, op: int, command: int, values: dict[str, Any], name: str, work: float = 0.0, once: bool = False
    ) -> dict[str, Any]:
        """The answer to a command.

        Args:
            group, op, command: as docs/flash.md lists them.
            values: arguments.
            name: what the command does, for messages.
            work: seconds that the device may need at most before it answers. Waiting begins with a twentieth of it and
                doubles, because a message that was lost would cost all of it.
            once: do not repeat it when no answer comes.

        Raises:
            Refused: the device answered with an error.
            DeviceError: no answer came.
        """
        self._sequence = (self._sequence + 1) % 256
        body = cbor.encode(values)
        header = _HEADER.pack(_VERSION | op, 0, len(body), group, self._sequence, command)
        want = _HEADER.pack(_VERSION | op + 1, 0, 0, group, self._sequence, command)
        patience, tries = Patience(self.line, work), 0
        share = 1.0 if once else _FIRST_SHARE
        while True:
            sent = time.monotonic()
            self.line.send(header + body)
            answer = self._answer(want, sent + self._timeout(len(body)) + tries * _LONGER + work * share)
            if answer is not None:
                self._learn(time.monotonic() - sent, len(body), work)
                return _checked(answer, name)
            self.again, tries, share = self.again + 1, tries + 1, min(share * 2, 1.0)
            if once or patience.ends(tries):
                raise Silent(f"no answer: {name}", "the line is silent, or damages too much", _SILENT_HINT)

    def _answer(self, want: bytes, end: float) -> dict[str, Any] | None:
        """The answer that belongs to the question; None: it did not come in time."""
        while (left := end - time.monotonic()) > 0:
            event = self.line.receive(left)
            if isinstance(event, str):
                self.on_text(event)
            elif event is not None and event[4:8] == want[4:8] and event[0] & 7 == want[0] & 7:
                try:
                    body = cbor.decode(event[8:])
                except (ValueError, RecursionError):
                    continue
                if isinstance(body, dict):
                    return body
        return None

    def _timeout(self, body: int) -> float:
        return min(_LEAST_WAIT + 3 * self._wire(body) * self._seconds, MAX_TIMEOUT + 2 * self._wire(body) / self.line.rate)

    def _learn(self, seconds: float, body: int, work: float) -> None:
        if not work:
            self._seconds += 0.25 * (seconds / self._wire(body) - self._seconds)

    def _wire(self, body: int) -> int:
        """Bytes of a message and of a short answer."""
        return frame.wire_bytes(body + 8) + 64


class Patience:
    """When a line is given up: nothing at all came for so long, or only damage in many tries."""

    def __init__(self, line: Line, work: float = 0.0) -> None:
        self._line, self._received, self._end = line, line.received, time.monotonic() + PATIENCE + work

    def ends(self, tries: int) -> bool:
        return time.monotonic() > self._end and (tries >= TRIES or self._line.received == self._received)


_SILENT_HINT = "is it a device that runs tody, on this port, at this speed? press its reset button and try again"


def _checked(answer: dict[str, Any], name: str) -> dict[str, Any]:
    error = answer.get("err")
    rc = error.get("rc", 1) if isinstance(error, dict) else answer.get("rc", 0)
    if rc != 0:
        raise Refused(name, rc if isinstance(rc, int) else 1)
    return answer
