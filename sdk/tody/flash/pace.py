"""What a line is like, learnt from the messages on it: how soon answers come, how much it damages, when to give it up."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import time

from . import frame
from .transport import Line

PATIENCE = 10.0  # seconds without a byte after which a line is given up
TRIES = 40  # of one message, where bytes come but no sound answer
ANSWER = 32  # bytes of a message that is a short answer
_LEAST = 0.02  # seconds: what a busy laptop and a USB adapter add
_MOST = 2.5  # seconds, where the device has shown no need for more
_FIRST = 4e-4  # seconds per byte that the first answers may deviate
_GAIN = 0.25
_KEPT = 0.95  # of what the messages before have told


class Pace:
    """When an answer is overdue, from those that came: mean and deviation of seconds per byte, as TCP has it (Jacobson, 1988).

    After a silence twice as long, until an answer came that surely belongs to the last question (Karn and Partridge, 1987).
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._mean, self._deviation, self._factor = rate, 2.0 / rate, _FIRST, 1.0

    def wait(self, wire: int) -> float:
        """Seconds until the answer to so many bytes, its own among them, is overdue."""
        usual = _LEAST + wire * (self._mean + 4 * self._deviation)
        return min(self._factor * usual, max(_MOST + 2 * wire / self._rate, 4 * wire * self._mean))

    def came(self, wire: int, seconds: float) -> None:
        """An answer came in so many seconds."""
        error = seconds / wire - self._mean
        self._mean += _GAIN * error
        self._deviation += _GAIN * (abs(error) - self._deviation)
        self._factor = 1.0

    def silent(self) -> None:
        """None came in time."""
        self._factor = min(2 * self._factor, 64.0)


class Damage:
    """What share of bytes a line damages, and which messages get on fastest then."""

    def __init__(self) -> None:
        self._messages = self._bytes = self._lost = 0.0

    def note(self, wire: int, lost: bool) -> None:
        """So many bytes went over the line, and were lost or not."""
        self._messages = self._messages * _KEPT + 1
        self._bytes = self._bytes * _KEPT + wire
        self._lost = self._lost * _KEPT + lost

    @property
    def per_byte(self) -> float:
        """Where a message of n bytes comes through with a probability of exp(-n * this)."""
        if self._lost < 0.05:
            return 0.0
        sound = (self._messages - self._lost + 0.5) / (self._messages + 0.5)
        return -math.log(sound) * self._messages / self._bytes

    def best(self, overhead: int, limit: int) -> int:
        """Bytes of payload, at most `limit`, in the message that brings the most of it across per byte on the wire.

        `overhead` are the bytes on the wire, the answer's among them, that a message without payload has. The largest
        p * exp(-d * w) / w, for w = overhead + r * p bytes on the wire and damage d, is where p * w = overhead / (r * d).
        """
        damage, r = self.per_byte, frame.wire_bytes(930) / 930
        if not damage:
            return limit
        best = (math.sqrt(overhead * overhead + 4 * overhead / damage) - overhead) / (2 * r)
        return min(limit, max(int(best), 1))


class Patience:
    """When a line is given up: nothing at all came for so long, or only damage in many tries."""

    def __init__(self, line: Line, work: float = 0.0) -> None:
        self._line, self._received, self._end = line, line.received, time.monotonic() + PATIENCE + work

    def ends(self, tries: int) -> bool:
        return time.monotonic() > self._end and (tries >= TRIES or self._line.received == self._received)
