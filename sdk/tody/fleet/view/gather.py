"""Bring a fleet's messages into an overview: a wildcard for speed and for what comes, exact topics for what it left out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from ...errors import UsageError
from ..address import Address
from ..broker.certificates import issued_by
from ..laptop.laptop import CLIENT, VIEWER, Laptop
from ..mqtt import Link
from .overview import Overview

Progress = Callable[[int, int], None]
QUIET = 0.3  # seconds without a message after which a wildcard has brought what it can
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
        while True:  # until it grows quiet: no probe would get through a burst, for brokers drop what is too much
            time.sleep(QUIET)
            if not self.take():
                break
        for _ in range(2):  # presence, then the rest
            lacking = self.overview.lacking()
            done = 0
            for found in self._link.stream(lacking):
                for topic, payload in found.items():
                    self.overview.take(topic, payload or b"", self._now(), live=False)
                progress(done := done + len(found), len(lacking))
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


def overview_of(fleet: Laptop) -> Overview:
    """What the laptop itself knows of its fleet: the devices, their certificates, and what was signed for them."""
    overview = Overview(fleet.topics, fleet.devices)
    with suppress(UsageError):  # somebody else's broker and certificates
        for entry in issued_by(fleet.authority):
            if entry["revoked"] is None:
                newest = max(entry["until"], overview.certificates.get(entry["name"], 0.0))
                overview.certificates[entry["name"]] = newest
    refresh(overview, fleet, b"")
    return overview


def refresh(overview: Overview, fleet: Laptop, before: bytes) -> bytes:
    """See what has been signed since a state of the repository; returns its newest, for the next call."""
    archive = fleet.archive
    if archive.exists and archive.timestamp != before:
        signed = [(archive.desired(group), archive.releases(group)) for group in archive.groups]
        overview.desired = {desired.group: desired for desired, _ in signed if desired}
        overview.releases = {release.model: release for _, releases in signed for release in releases}
    return archive.timestamp


def viewer(fleet: Laptop) -> Link:
    """A connection that only looks, not opened yet.

    Raises:
        UsageError: no broker is known, or its address cannot be used.
    """
    own = fleet.identity / VIEWER
    if not own.is_dir():  # a broker that asks for no certificates, or that somebody else has set up
        return fleet.link(CLIENT if fleet.broker.startswith("mqtts") else f"{VIEWER}-{secrets.token_hex(4)}")
    return Link(Address.parse(fleet.broker, own), VIEWER, fleet.topics.up(VIEWER, "probe"))
