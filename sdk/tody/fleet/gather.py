"""Bring a fleet's messages into an overview: a wildcard for speed and for what comes, exact topics for what it left out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import queue
import time
from collections.abc import Callable

from .mqtt import WINDOW, Link
from .overview import Overview

Progress = Callable[[int, int], None]
MOST_WAITING = 100_000  # messages; what comes faster than it is looked at is dropped, and its topics are read one by one


class Gatherer:
    """Listens on a link. `take` has to be called now and then: an overview belongs to one thread."""

    def __init__(self, overview: Overview, link: Link, now: Callable[[], float] = time.time) -> None:
        self.overview = overview
        self._link, self._now = link, now
        self._waiting: queue.Queue[tuple[str, bytes, float]] = queue.Queue(MOST_WAITING)
        self._last: dict[str, int] = {}  # topic -> hash of its newest payload: after a reconnection retained ones come again
        self._begun = False

    def begin(self, progress: Progress = lambda done, total: None) -> None:
        """Read what is retained, and go on listening.

        Raises:
            DeviceError: the broker does not answer.
        """
        for pattern in self.overview.patterns:
            self._link.listen(pattern, self._keep, qos=0)
        self._link.read([self.overview.topics.repository("head")])  # when this is answered, so are the patterns
        self.take()
        lacking = self.overview.lacking()
        for i in range(0, len(lacking), WINDOW):
            for topic, payload in self._link.read(lacking[i : i + WINDOW]).items():
                self.overview.take(topic, payload or b"", self._now(), live=False)
            progress(min(i + WINDOW, len(lacking)), len(lacking))
        self.take()
        self._begun = True

    def take(self) -> int:
        """Look at what has come; returns how many messages."""
        count = 0
        while True:
            try:
                topic, payload, at = self._waiting.get_nowait()
            except queue.Empty:
                return count
            count += 1
            is_news = self._last.get(topic) != hash(payload)
            if len(self._last) < MOST_WAITING:
                self._last[topic] = hash(payload)
            if is_news:
                self.overview.take(topic, payload, at, live=self._begun)

    def _keep(self, topic: str, payload: bytes) -> None:
        """In the connection's thread."""
        try:
            self._waiting.put_nowait((topic, payload, self._now()))
        except queue.Full:
            return
