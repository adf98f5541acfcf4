"""Sends what a device has to tell of its updates, once for each connection unless it changes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from ..mqtt import Link
from ..reports import Report, presence, result
from .identity import Device


class Teller:
    """Nothing here raises or waits: what cannot be sent is no reason for anything, and is told with the next connection."""

    def __init__(self, link: Link, device: Device) -> None:
        self._link, self._device = link, device
        self._told: dict[str, bytes] = {}

    def begin(self) -> None:
        """There is a new connection: everything is told again."""
        self._told = {}
        self._send(self._device.topics.up(self._device.device, "online"), lambda now: presence(True, now))

    def result(self, model: str, code: str, generation: int) -> None:
        topic = self._device.topics.result(model, self._device.device)
        self._send(topic, lambda now: result(code, now, generation))

    def report(self, report: Report) -> None:
        topic = self._device.topics.up(self._device.device, "report")
        self._send(topic, lambda now: replace(report, time=now).encode())

    def _send(self, topic: str, make: Callable[[int], bytes]) -> None:
        """Send a retained message with the time, unless only the time has changed."""
        news = make(0)
        if not self._link.is_connected or self._told.get(topic) == news:
            return
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._link.send(topic, make(int(time.time())), retain=True)
            self._told[topic] = news
