"""How a model fares on its camera: a record that the camera process writes, and the judgement of the agent who reads it.

The record is the file `health.json` of the store. Times are those of the monotonic clock, which all processes share until the
next start of the machine: the clock on the wall may jump by years when a board without a battery learns the time.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..documents import Rule

FILE = "health.json"
CRASHES = 2  # processes that vanish with a model on trial, before it counts as one that crashes
SILENCE = 10.0  # seconds without a record, after which a camera process counts as gone
MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Record:
    """What a camera process tells of the model it uses.

    Attributes:
        run: names the process.
        boot: names the start of the machine.
        at: seconds of the monotonic clock.
        state: "loading" (a model, and nothing has come of it yet), "running" or "closed".
        model: that it uses, or is loading.
        seconds, frames, errors: since it uses this model.
        seen: frames in which it found anything.
        latency_ms, latency_p95_ms: of a frame, of the last few hundred; None before the first.
        crashes: processes before this one that ended without a word while they used this model.
        unloadable: the model that it should use and could not load, and `fault`: why.
        shadow: agreement with a candidate beside it (shadow.py).
    """

    run: str
    boot: str
    at: float
    state: str
    model: str | None = None
    seconds: float = 0.0
    frames: int = 0
    seen: int = 0
    errors: int = 0
    latency_ms: float | None = None
    latency_p95_ms: float | None = None
    crashes: int = 0
    unloadable: str | None = None
    fault: str = ""
    shadow: dict[str, Any] | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """What the conditions of a desired state can speak of."""
        tried = self.frames + self.errors
        found = {"frames": float(self.frames), "errors": float(self.errors)}
        if self.seconds > 0:
            found["fps"] = self.frames / self.seconds
        if tried:
            found["error_rate"] = self.errors / tried
        if self.frames:
            found["seen"] = self.seen / self.frames
        latencies = {"latency_ms": self.latency_ms, "latency_p95_ms": self.latency_p95_ms}
        return found | {key: value for key, value in latencies.items() if value is not None}

    def crashes_of(self, model: str | None) -> int:
        """What a process that comes after this one has to add up: the crashes with a model, its own if it said no goodbye."""
        return 0 if model != self.model else self.crashes + (self.state != "closed")


def boot() -> str:
    """The name of this start of the machine; empty where there is none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def write(store: Path, record: Record) -> None:
    """Put the record in place. It is not synced: after a power cut nobody wants it.

    Raises:
        OSError: it cannot be written.
    """
    part = store / f".{FILE}.{record.run}"
    part.write_text(json.dumps(asdict(record)))
    os.replace(part, store / FILE)


def read(store: Path) -> Record | None:
    """The newest record, or None if there is none that is sound."""
    try:
        with open(store / FILE, "rb") as file:
            return _sound(Record(**json.loads(file.read(MOST_BYTES))))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _sound(record: Record) -> Record:
    """The record, if its values are of the kinds that they must be. Raises ValueError if not."""
    texts = (record.run, record.boot, record.state, record.fault)
    names = (record.model, record.unloadable)
    numbers = (record.at, record.seconds, record.frames, record.seen, record.errors, record.crashes)
    latencies = (record.latency_ms, record.latency_p95_ms)
    is_sound = all(isinstance(text, str) for text in texts) and all(name is None or isinstance(name, str) for name in names)
    is_sound = is_sound and all(map(_is_number, numbers)) and all(ms is None or _is_number(ms) for ms in latencies)
    if not is_sound or not (record.shadow is None or isinstance(record.shadow, dict)):
        raise ValueError("a value is of another kind")
    return record


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Health:
    """Judges the model that is in use since `begin`.

    Args:
        store: the folder.
        now: the monotonic clock.
    """

    def __init__(self, store: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._store, self._now, self._boot = store, now, boot()
        self.why = ""
        self.begin(None)

    def begin(self, model: str | None) -> None:
        """The window of this model opens now."""
        self._model, self._since = model, self._now()
        last = self.record()
        self._crashes = last.crashes_of(model) if last else 0  # those of another attempt

    def record(self) -> Record | None:
        """The newest record, if it was written since the machine was started."""
        found = read(self._store)
        return found if found and found.boot == self._boot else None

    def judge(self, rules: Sequence[Rule], window_s: float) -> str:
        """ "pending", "good" or the code of a failure; `why` then says more."""
        record = self.record()
        fresh = record if record and record.at >= self._since else None
        if fresh and fresh.unloadable == self._model:
            self.why = f"the camera process cannot load it: {fresh.fault}"
            return "failed-crash"
        if fresh and fresh.model == self._model and fresh.crashes - self._crashes >= CRASHES:
            self.why = f"{fresh.crashes - self._crashes} camera processes that used it ended without a word"
            return "failed-crash"
        if self._now() - self._since < window_s:
            return "pending"
        used = fresh if fresh and fresh.model == self._model and fresh.state != "closed" else None
        if used and self._now() - used.at > SILENCE:
            self.why = f"the camera process that used it has said nothing for {self._now() - used.at:.0f} s"
            return "failed-crash"
        return self._at_the_end(rules, used)

    def _at_the_end(self, rules: Sequence[Rule], record: Record | None) -> str:
        metrics = record.metrics if record else {}
        for rule in rules:
            wanted = f"{rule.metric}{rule.relation}{rule.limit:g}"
            if rule.metric not in metrics:
                self.why = f"nothing shows that {wanted}"
                return "failed-health"
            if not rule.holds(metrics[rule.metric]):
                self.why = f"{rule.metric} is {metrics[rule.metric]:.4g}, and {wanted} was asked"
                return "failed-health"
        return "good"
