"""Questions to a device and their answers: SMP messages, repeated where the line loses them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import DeviceError, TodyError
from . import cbor, frame
from .pace import ANSWER, TRIES, Damage, Pace, Patience
from .transport import Line

READ, WRITE = 0, 2
OS, IMAGE, FILES, TODY = 0, 1, 8, 65  # groups
HEADER = 8  # bytes before the map of a message
_KEPT = 20  # lines of text from before the first answer

_HEADER = struct.Struct(">BBHHBB")
_VERSION = 1 << 3  # SMP version 2
_REASONS = {
    2: "it has not enough memory", 3: "it does not accept an argument", 4: "it took too long", 5: "it has no such thing",
    6: "not in its present state", 7: "the answer is too large", 8: "it does not know this command",
    9: "the bytes that it holds are not those that were sent", 10: "it is busy", 11: "it denies access",
}  # fmt: skip
# Of Zephyr's groups, which number their own errors (version 2 of SMP).
_GROUP_REASONS = {
    (IMAGE, 9): "it has no slot that is free", (IMAGE, 23): "it takes only firmware for MCUboot as an image",
    (FILES, 2): "a file cannot have that name", (FILES, 5): "it cannot open that file",
    (FILES, 10): "the file system does not take more", (FILES, 14): "no file system is mounted there",
    (FILES, 15): "the file system is read-only",
}  # fmt: skip
_GROUP_HINTS = {(IMAGE, 23): "--file /lfs1/model.tody puts the model into its file system, if it has one"}


class Refused(TodyError):
    """A device answered with an error: number `rc` (firmware/link/link.h), or of those that SMP's `group` has for itself."""

    exit_code, kind = 6, "device"

    def __init__(self, command: str, rc: int, group: int = 0) -> None:
        self.rc, self.group = rc, group
        why = _GROUP_REASONS.get((group, rc), f"its group {group} says {rc}") if group else _REASONS.get(rc, f"it says {rc}")
        super().__init__(f"the device refused: {command}", why, _GROUP_HINTS.get((group, rc), "tody devices shows its state"))


class Silent(DeviceError):
    """Nothing came back in time."""


class Damaged(Silent):
    """Something came back, or a complaint, but nothing sound."""


class Late(DeviceError):
    """The time for all of it is over."""


class Client:
    """Sends one message at a time and waits for its answer.

    Attributes:
        on_text: is given each line of text that the device sends between messages.
        again: messages that had to be sent once more.
        deadline: by the monotonic clock; what is asked then ends as `Late`.
    """

    def __init__(self, line: Line, on_text: Callable[[str], None] | None = None) -> None:
        self.line, self.on_text = line, on_text or (lambda text: None)
        self.again, self.deadline = 0, math.inf
        self._sequence = int(time.monotonic() * 100) % 256  # not that of a program before, whose answers may still come
        self._pace, self._damage = Pace(line.rate), Damage()
        self._busy_until = 0.0  # until when a slow device may do again what it was asked more than once
        self._heard = False  # a sound answer, ever; what is said before may be anybody's
        self._said: deque[str] = deque(maxlen=_KEPT)

    def ask(
        self,
        group: int,
        op: int,
        command: int,
        values: dict[str, Any],
        name: str,
        work: float = 0.0,
        once: bool = False,
        first: float = 0.05,
    ) -> dict[str, Any]:
        """The answer to a command.

        Args:
            group, op, command: as docs/flash.md lists them.
            values: arguments.
            name: what the command does, for messages.
            work: seconds that the device may need at most before it answers.
            once: do not repeat it when no answer comes.
            first: the share of `work` that is waited at first, because a message that was lost would cost all of it; four
                times as long after each silence.

        Raises:
            Refused: the device answered with an error.
            Late: the deadline is over.
            DeviceError: no answer came.
        """
        message, want = self._question(group, op, command, cbor.encode(values))
        wire = frame.wire_bytes(len(message)) + frame.wire_bytes(ANSWER)
        begun = time.monotonic()
        busy = max(0.0, self._busy_until - begun)
        patience, tries, silences, share = Patience(self.line, work + busy), 0, 0, 1.0 if once else first
        while True:
            sent = time.monotonic()
            end = min(sent + self._pace.wait(wire) + work * share + busy, self.deadline)
            answer = self._exchange(message, want, wire, end)
            now = time.monotonic()
            if answer is not None:
                if not (work or busy or silences):  # it surely belongs to this question, and is no work
                    self._pace.came(wire, now - sent)
                self._busy_until = now + silences * (now - begun) if work else 0.0
                return _checked(answer, name)
            if now >= self.deadline:
                raise Late(f"out of time: {name}", self._why_late(), "repeat the command, it goes on there; --timeout S")
            silence = now >= end  # else what came was damaged
            if silence:
                self._pace.silent()
                silences, share = silences + 1, min(share * 4, 1.0)
            self.again, tries = self.again + 1, tries + 1
            if once or (tries > 1 and patience.ends(tries if self._heard else TRIES)):
                raise (Silent if silence else Damaged)(f"no answer: {name}", *self._why_silent())

    def _question(self, group: int, op: int, command: int, body: bytes) -> tuple[bytes, bytes]:
        """The next message, and the header that its answer will have."""
        self._sequence = (self._sequence + 1) % 256
        message = _HEADER.pack(_VERSION | op, 0, len(body), group, self._sequence, command) + body
        return message, _HEADER.pack(_VERSION | op + 1, 0, 0, group, self._sequence, command)

    def _exchange(self, message: bytes, want: bytes, wire: int, end: float) -> dict[str, Any] | None:
        """Send a message once; `_answer` to it."""
        self.line.send(message)
        answer = self._answer(want, end)
        self._damage.note(wire, answer is None)
        return answer

    def best(self, overhead: int, limit: int) -> int:
        """Bytes of payload for which a message does best on this line. `overhead`: bytes of a message without it."""
        return self._damage.best(frame.wire_bytes(overhead) + frame.wire_bytes(ANSWER), limit)

    def _answer(self, want: bytes, end: float) -> dict[str, Any] | None:
        """The answer that belongs to the question; None: it did not come in time, or something arrived damaged."""
        left = math.inf
        while left > 0:
            left = end - time.monotonic()
            event = self.line.receive(max(left, 0.0))  # once at least, however late this computer is
            if event in (frame.DAMAGED, frame.NAK):
                return None
            if isinstance(event, str):
                self._text(event)
            elif event is not None and event[4:8] == want[4:8] and event[0] & 7 == want[0] & 7:
                try:
                    body = cbor.decode(event[8:])
                except (ValueError, RecursionError):
                    continue
                if isinstance(body, dict):
                    self._is_heard()
                    return body
        return None

    def _text(self, text: str) -> None:
        if self._heard:
            self.on_text(text)
        else:
            self._said.append(text)

    def _is_heard(self) -> None:
        self._heard = True
        while self._said:
            self.on_text(self._said.popleft())

    def _why_silent(self) -> tuple[str, str]:
        """Why no answer came, and what to try."""
        if self._heard:
            return "the line has become silent, or damages too much", _SILENT_HINT
        if not self.line.received:
            return "the line is silent", _SILENT_HINT
        said = next((repr(text[:40]) for text in reversed(self._said) if text.strip() and text.isprintable()), "")
        why = f"something else answers: {said}" if said else "what comes back is no answer"
        return why, "is it the right port, at the right speed (?baud=)? tody devices lists what is plugged in"

    def _why_late(self) -> str:
        damage = self._damage.per_byte
        return f"the line damages about {damage:.1%} of bytes" if damage > 5e-4 else "the device or its line is slow"


_SILENT_HINT = "is it a device that runs tody, on this port, at this speed? press its reset button and try again"


def _checked(answer: dict[str, Any], name: str) -> dict[str, Any]:
    error = answer.get("err")
    rc, group = (error.get("rc", 1), error.get("group", 0)) if isinstance(error, dict) else (answer.get("rc", 0), 0)
    if rc != 0:
        raise Refused(name, rc if isinstance(rc, int) else 1, group if isinstance(group, int) else 0)
    return answer
