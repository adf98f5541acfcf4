"""Brings what waits in a device's outbox to the broker, in order, and forgets it when the broker has taken it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ...errors import TodyError
from ..connection import TIMEOUT
from ..mqtt import Handler
from ..topics import Topics
from .homeassistant import HomeAssistant
from .metrics import idle
from .outbox import Waiting
from .telemetry import EVENT, METRICS, board_sample, open_outbox

POLL = 0.25  # seconds between looks into the outbox, into which another process may put
BATCH = 64  # messages that are under way at once
LATE = 60.0  # seconds after which an event is told as one of the past
FAREWELL = 2.0  # seconds for the last messages
SILENCE = 60.0  # seconds without a sample, after which the sender tells how the machine fares


class Carrier(Protocol):
    """What is needed of a `tody.fleet.mqtt.Link`."""

    @property
    def is_connected(self) -> bool: ...
    def publish_all(self, messages: Sequence[tuple[str, bytes]], timeout: float = ..., *, retain: bool = True) -> None: ...
    def listen(self, topic: str, handler: Handler, qos: int = ...) -> None: ...


class Sender:
    """Sends metrics and events of one device. Use it as a context, and it works in a thread of its own.

    Metrics are retained, so that who comes later sees the newest; events are not.

    Args:
        store: the device's folder.
        homeassistant: announces the device to Home Assistant as well; None: it does not.
        now: seconds since 1970; `tick`: seconds of a clock that never jumps.
        note: is told what went wrong, for a log.

    Raises:
        OSError: the outbox cannot be opened.
    """

    def __init__(
        self,
        store: Path,
        link: Carrier,
        topics: Topics,
        device: str,
        homeassistant: HomeAssistant | None = None,
        now: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._outbox = open_outbox(store, note)
        self._link, self._homeassistant, self._now, self._tick, self._note = link, homeassistant, now, tick, note
        self._topics = {kind: topics.up(device, kind) for kind in (METRICS, EVENT)}
        self._heard, self._last = tick(), -1  # when somebody put in a sample, the last time, and its number
        self._was_connected = False
        self._told = ""  # the last trouble, so that a log is not filled with it
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)

    def __enter__(self) -> Sender:
        if self._homeassistant:
            self._link.listen(self._homeassistant.birth, self._homeassistant.born)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send the last; what cannot be sent waits for the next start."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
            with suppress(TodyError, OSError):
                self.step(FAREWELL)
        self._outbox.close()

    def step(self, timeout: float = TIMEOUT) -> int:
        """Send what there is; returns how many messages the broker has taken.

        Args:
            timeout: seconds that the broker may take for a batch.

        Raises:
            TodyError, OSError: it could not be sent or read now; it waits.
        """
        self._break_silence()
        sent, is_connected = 0, self._link.is_connected
        if self._homeassistant and is_connected and not self._was_connected:
            self._homeassistant.born()
        self._was_connected = is_connected
        if is_connected:
            for kind in (EVENT, METRICS):
                while batch := self._outbox.take(kind, BATCH):
                    self._send(kind, batch, timeout)
                    sent += len(batch)
                    if self._ended.is_set():  # the rest of a long queue does not hold up the end
                        break
        return sent

    def _send(self, kind: str, batch: Sequence[Waiting], timeout: float) -> None:
        bodies = [self._body(kind, waiting) for waiting in batch]
        messages = [(self._topics[kind], json.dumps(body, separators=(",", ":")).encode()) for body in bodies]
        if self._homeassistant:
            self._link.publish_all(self._homeassistant.news(bodies), timeout)
        self._link.publish_all(messages, timeout, retain=kind == METRICS)
        self._outbox.sent(kind, batch[-1].last)

    def _break_silence(self) -> None:
        """Tell how the machine fares if no camera does: it has none, or its process is gone."""
        last, tick = self._outbox.last(METRICS), self._tick()
        if last != self._last:
            self._last, self._heard = last, tick
        elif tick - self._heard >= SILENCE:
            self._outbox.add(METRICS, [{"time": round(self._now(), 3), **board_sample(None), **idle(tick - self._heard)}])

    def _body(self, kind: str, waiting: Waiting) -> dict[str, Any]:
        place = {"outbox": self._outbox.id, "seq": waiting.last, "samples": waiting.samples}
        if kind == EVENT:
            age = self._now() - waiting.body["time"]
            return {**waiting.body, "late": not -LATE <= age <= LATE, **place}
        return {**waiting.body, **place}

    def _work(self) -> None:
        while not self._ended.wait(POLL):
            trouble = ""
            try:
                self.step()
            except (TodyError, OSError) as e:
                trouble = str(e).splitlines()[0]
                self._ended.wait(1.0)
            if trouble and trouble != self._told:
                self._note(f"telemetry waits: {trouble}")
            self._told = trouble
