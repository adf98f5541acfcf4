"""What a camera process tells of itself: metrics of every few seconds and events, put into the device's outbox.

It needs no broker: the agent sends what is in the outbox (sender.py), now or after an outage, from this process or another.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...run.detections import Detections
from ...run.preprocess import as_image
from ..disk import FolderDisk, put
from .board import memory, temperature, throttled
from .drift import BINS, LEARN, Drift, brightness
from .events import Event, Tracker, merge_events
from .metrics import Sample, Window, merge
from .outbox import Outbox

if TYPE_CHECKING:
    from ...run.classify import Label

FILE, DRIFT_FILE = "telemetry.sqlite", "drift.json"  # of the store
METRICS, EVENT = "metrics", "event"  # kinds of messages, and the ends of their topics
PERIOD = 10.0  # seconds of a sample
GLANCE = 0.5  # seconds between looks at the brightness of the picture
MOST_PENDING = 1000  # messages in memory while the disk cannot be written
SAVE = 60.0  # seconds between writes of the reference of drift while it is learned


def open_outbox(store: Path, note: Callable[[str], None] = lambda text: None) -> Outbox:
    """The outbox of the device with this store.

    Raises:
        OSError: the disk cannot be used.
    """
    return Outbox(store / FILE, {METRICS: merge, EVENT: merge_events}, note=note)


def board_sample(model_version: int | None) -> Sample:
    """The part of a sample that needs no camera."""
    resident, free = memory()
    return {
        "model_version": model_version,
        "temperature_c": temperature(),
        "throttled": throttled(),
        "memory_bytes": resident,
        "memory_free_bytes": free,
    }


class Telemetry:
    """Measures a camera loop. `frame` costs some tens of microseconds and never waits; a thread does the rest.

        with Telemetry(store, camera="door") as telemetry:
            telemetry.use(model, version)
            for frame in camera:
                ...
                telemetry.frame(frame, detections, seconds)

    Args:
        store: the device's folder.
        camera: its name in events.
        period: seconds of a sample.
        learn: seconds of a model whose pictures and scores are what drift is measured against.
        now: seconds since 1970; `tick`: seconds of a clock that never jumps.
        note: is told what went wrong, for a log. Telemetry that fails never stops a camera.

    Raises:
        OSError: the outbox cannot be opened.
    """

    def __init__(
        self,
        store: Path,
        camera: str = "camera",
        period: float = PERIOD,
        learn: float = LEARN,
        now: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._disk, self._now, self._tick, self._note = FolderDisk(store), now, tick, note
        self._outbox = open_outbox(store, note)
        self._period, self._learn = period, learn
        self._lock = threading.Lock()
        self._window, self._tracker = Window(tick()), Tracker(camera)
        self._bright = np.zeros(BINS["input"])
        self._glanced = self._saved = float("-inf")
        self._drift = Drift("", learn)
        self._version: int | None = None
        self._events: list[Event] = []
        self._pending: list[tuple[str, dict[str, Any]]] = []
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)

    def __enter__(self) -> Telemetry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What was measured so far is put into the outbox."""
        self._ended.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            self._events += self._tracker.end(self._now())
        self.step(close=True)
        self._outbox.close()

    def use(self, model: str, version: int | None = None) -> None:
        """From now on this model looks: by its SHA-256, and the version of its release."""
        content = b""
        with suppress(OSError):
            content = b"".join(self._disk.read(DRIFT_FILE))
        with self._lock:
            self._version = version
            if model != self._drift.model:
                self._drift = Drift.decode(content, model, self._learn)

    def frame(self, picture: Any, result: Detections | Sequence[Label], seconds: float, dropped: int = 0) -> None:
        """A frame was looked at.

        Args:
            picture: as a Detector takes it.
            result: of a Detector or a Classifier.
            seconds: that it took.
            dropped: frames that nobody looked at since the last call.
        """
        tick = self._tick()
        with self._lock:
            if isinstance(result, Detections):
                self._window.frame(seconds, result.scores.tolist(), result.names, dropped)
                events = self._tracker.update(result, self._now())
            else:
                best = result[:1]
                self._window.frame(seconds, [label.score for label in best], [label.name for label in best], dropped)
                events = []
            if tick - self._glanced >= GLANCE:
                self._bright += brightness(as_image(picture))
                self._glanced = tick
            self._events += events
        if events:
            self._wake.set()

    def error(self) -> None:
        """A frame could not be looked at."""
        with self._lock:
            self._window.errors += 1

    def step(self, close: bool = False) -> None:
        """Put into the outbox what there is; the thread does it. With `close`, an unfinished window too."""
        with self._lock:
            events, self._events = self._events, []
            tick = self._tick()
            done = None
            if tick - self._window.began >= self._period or (close and self._window.frames):
                done, self._window = self._window, Window(tick)
                bright, self._bright = self._bright, np.zeros(BINS["input"])
                drift, version = self._drift, self._version
        self._pending += [(EVENT, event) for event in events]
        if done is not None:
            drift.add(tick - done.began, input=bright, confidence=done.sureness())
            drifts = {f"{kind}_drift": None if (v := drift.index(kind)) is None else round(v, 4) for kind in BINS}
            sample = {"time": round(self._now(), 3), **board_sample(version), **done.sample(tick), **drifts}
            self._pending.append((METRICS, sample))
            self._save(drift, close)
        self._put()

    def _save(self, drift: Drift, close: bool) -> None:
        """Write the reference, now and then while it is learned, and when it has been."""
        has_changed = drift.model and drift.learned < self._learn + 2 * self._period
        if has_changed and (close or not drift.is_learning or self._tick() - self._saved >= SAVE):
            try:
                put(self._disk, DRIFT_FILE, [drift.encode()])
                self._saved = self._tick()
            except OSError as e:
                self._note(f"the reference of drift cannot be written: {e}")

    def _put(self) -> None:
        try:
            for kind in (EVENT, METRICS):
                if bodies := [body for other, body in self._pending if other == kind]:
                    self._outbox.add(kind, bodies)
                    self._pending = [entry for entry in self._pending if entry[0] != kind]
        except OSError as e:
            self._note(f"telemetry cannot be written: {e}")
            self._shorten()

    def _shorten(self) -> None:
        """Keep memory bounded while the disk is full: the two oldest of a kind become one."""
        for kind, join in ((METRICS, merge), (EVENT, merge_events)):
            own = [body for other, body in self._pending if other == kind]
            while len(own) > MOST_PENDING:
                own[:2] = [join(own[0], own[1])]
            self._pending = [entry for entry in self._pending if entry[0] != kind] + [(kind, body) for body in own]

    def _work(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                left = self._window.began + self._period - self._tick()
            self._wake.wait(max(0.05, left))
            self._wake.clear()
            try:
                self.step()
            except Exception as e:
                self._note(f"telemetry failed: {type(e).__name__}: {e}")
