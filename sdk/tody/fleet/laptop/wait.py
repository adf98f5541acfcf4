"""Follow a rollout from the laptop until it is done or has halted. Nothing depends on it: devices decide by themselves."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from ...errors import DeviceError, RolloutError
from ..documents import Desired
from ..mqtt import WINDOW, Link
from ..reports import result_code
from ..rollout import asked_of
from ..topics import Topics
from ..view.standing import Standing, standing

LOOK = 0.5  # seconds between looks at what came
ASK = 5.0  # seconds between questions after those who have said nothing: wildcards lose messages


class Results:
    """What the devices of a group report of a rollout, as it comes."""

    def __init__(self, link: Link, topics: Topics, desired: Desired, devices: Sequence[str]) -> None:
        """Begin to listen.

        Raises:
            DeviceError: the broker does not answer.
        """
        self._link, self._desired = link, desired
        self._device_of = {topics.result(asked_of(desired, device), device): device for device in devices}
        self.codes: dict[str, str] = {}
        for model in {asked_of(desired, device) for device in devices}:
            link.listen(topics.result(model, "+"), self._take)
        self.ask()

    def ask(self) -> None:
        """Read, by exact topic, what those reported of whom nothing final is known."""
        open_topics = [t for t, device in self._device_of.items() if not _is_final(self.codes.get(device, ""))]
        for topic, payload in self._link.read(open_topics[: 64 * WINDOW]).items():
            self._take(topic, payload or b"")

    def _take(self, topic: str, payload: bytes) -> None:
        code = result_code(payload, self._desired.begun)
        if code and topic in self._device_of:
            self.codes[self._device_of[topic]] = code


def _is_final(code: str) -> bool:
    return code == "ok" or code.startswith("failed-")


def wait(
    results: Results,
    desired: Desired,
    devices: Sequence[str],
    timeout: float,
    say: Callable[[Standing, Mapping[str, str]], None] = lambda now, codes: None,
) -> Standing:
    """Wait until every device of the rollout has finished.

    Args:
        timeout: seconds.
        say: called whenever something has changed.

    Returns:
        how it stands then: done, with no more failures than the rollout allows.

    Raises:
        RolloutError: the rollout halted, or too many devices failed.
        DeviceError: not all were heard in time.
    """
    end, asked, before = time.monotonic() + timeout, time.monotonic(), {"": ""}
    while True:
        codes = dict(results.codes)
        now = standing(desired, devices, codes)
        if codes != before:
            say(now, codes)
            before = codes
        if now.state == "halted":
            raise RolloutError("the rollout has halted", now.why, "tody fleet rollback, or push a repaired model")
        if now.state == "done":
            return _judged(now, desired)
        if time.monotonic() > end:
            why = f"after {timeout:g} s: {now.why}"
            raise DeviceError("the rollout is not done yet", why, "it goes on by itself; tody fleet status shows it")
        if time.monotonic() - asked > ASK:
            results.ask()
            asked = time.monotonic()
        time.sleep(LOOK)


def _judged(now: Standing, desired: Desired) -> Standing:
    """Raises RolloutError if more devices failed than the rollout allows: it was over before it could halt."""
    failed, reported = now.count("failed"), now.count("failed") + now.count("ok")
    if failed > desired.halt_share * reported:
        told = ", ".join(f"{code} {count}" for code, count in now.codes.items() if code != "ok")
        raise RolloutError(f"{failed} of {reported} devices gave the model up", told, "they run the model before it")
    return now
