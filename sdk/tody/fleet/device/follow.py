"""A detector for camera scripts whose model is the one that the store runs: exchanged between two frames when that changes.

The agent decides which model runs and writes it into the store. A script follows: a thread watches the store's state, loads
the new model beside the old one, and exchanges them when it is warm. A record tells the agent what became of it (health.py).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...run.agreement import is_detector
from ...run.classify import Classifier
from ...run.detect import Detector
from ...run.detections import Detections
from ...run.model import load
from ..telemetry.telemetry import Telemetry
from . import health
from .identity import default_store
from .names import read_names
from .shadow import FILE as SHADOW
from .shadow import Shadow, asked
from .state import State, decode
from .store import COPIES

TICK = 0.1  # seconds between two looks at the store
TRIAL_PERIOD, PERIOD = 1.0, 10.0  # seconds between two records; rarer without a trial, for flash memory wears out
KEPT = 300  # latencies that the median is taken of


class _Used:
    """A loaded model, and what it was measured to do since it is in use."""

    def __init__(self, model: str, look: Any) -> None:
        self.model, self.look = model, look
        self.since = time.monotonic()
        self.frames = self.seen = self.errors = 0
        self.ms: deque[float] = deque(maxlen=KEPT)


class Followed:
    """Call it with frames, as a Detector or Classifier. Use it as a context, so that the agent knows when the script ends.

    Args:
        store: the device's store; None: where it lies by default.
        threads: as `tody.load` takes it.
        camera: its name in events; None: nothing is measured for the agent to send but health.
        options: as Detector takes them: score, iou, limit, labels.

    Attributes:
        model: SHA-256 of the model in use, None before the first one came.
        fault: why the model that should be used is not.

    Raises:
        UsageError: there is no such store, or it belongs to another user.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        camera: str | None = "camera",
        **options: Any,
    ) -> None:
        self._store = _usable(Path(store) if store is not None else default_store())
        self._threads, self._options = threads, options
        self._run, self._boot = secrets.token_hex(6), health.boot()
        self._before = health.read(self._store)  # of the process before this one
        self._used: _Used | None = None
        self._shadow: Shadow | None = None
        self._unloadable: str | None = None
        self.fault = ""
        self._trial = False
        self._seen: object = None
        self._due = 0.0
        self._end = threading.Event()
        self._telemetry = _telemetry(self._store, camera)
        self._follow()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="tody-follow")
        self._thread.start()

    @property
    def model(self) -> str | None:
        return self._used.model if self._used else None

    def __call__(self, frame: Any, dropped: int = 0) -> Any:
        """What the model in use finds in a frame: Detections, or labels of a classifier.

        Before the first model has come, nothing is found.

        Args:
            dropped: frames that the camera gave and nobody looked at since the last call, for the metrics.

        Raises:
            UsageError: the frame is none.
        """
        used = self._used
        if used is None:
            height, width = np.shape(frame)[:2]
            return Detections([], [], [], size=(width, height))
        start = time.perf_counter()
        try:
            found = used.look(frame)
        except Exception:
            used.errors += 1
            if self._telemetry:
                self._telemetry.error()
            raise
        seconds = time.perf_counter() - start
        used.ms.append(seconds * 1e3)
        used.frames += 1
        used.seen += len(found) > 0
        if self._telemetry:
            self._telemetry.frame(frame, found, seconds, dropped)
        if self._shadow:
            self._shadow.offer(frame, found)
        return found

    def __enter__(self) -> Followed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End, and say so."""
        self._end.set()
        self._thread.join()
        if self._shadow:
            self._shadow.close()
        if self._telemetry:
            self._telemetry.__exit__()
        self._tell("closed")

    def record(self, state: str = "running") -> health.Record:
        """What this process tells the agent."""
        used, now = self._used, time.monotonic()
        facts: dict[str, Any] = {"unloadable": self._unloadable, "fault": self.fault}
        if used:
            ms = sorted(used.ms)
            facts |= {"model": used.model, "seconds": now - used.since, "frames": used.frames, "seen": used.seen}
            facts |= {"errors": used.errors, "crashes": self._crashes(used.model)}
            if ms:
                facts |= {"latency_ms": ms[len(ms) // 2], "latency_p95_ms": ms[min(len(ms) - 1, len(ms) * 95 // 100)]}
        if self._shadow:
            facts["shadow"] = self._shadow.facts()
        return health.Record(self._run, self._boot, now, state, **facts)

    def _crashes(self, model: str) -> int:
        """How often processes before this one crashed with a model, without another one in between."""
        before = self._before
        if before is None or before.boot != self._boot or before.model != model:
            self._before = None
            return 0
        return before.crashes_of(model)

    def _watch(self) -> None:
        while not self._end.wait(TICK):
            self._follow()
            if time.monotonic() >= self._due:
                self._tell("running")

    def _follow(self) -> None:
        """Look whether the store's state has changed, and do as it says."""
        seen = [_stamp(self._store / name) for name in (*COPIES, SHADOW)]
        if seen == self._seen:
            return
        self._seen = seen
        state = read_state(self._store)
        self._trial = state.trial is not None
        self._unloadable, self.fault = None, ""
        if state.running is None:
            self._used = None
        elif state.running != self.model:
            self._exchange(state.running)
        self._follow_shadow()
        self._tell("running")

    def _exchange(self, model: str) -> None:
        self._tell("loading", model)
        try:
            look = self._load(model)
        except Exception as e:  # whatever it is, the old model goes on
            self._unloadable, self.fault = model, str(e).split("\n")[0][:300]
        else:
            self._used = _Used(model, look)
            if self._telemetry:
                self._telemetry.use(model, read_names(self._store).get(model, (None, ""))[0])

    def _load(self, model: str) -> Detector | Classifier:
        """A detector or classifier that has run once: the first inference reads the weights from the disk."""
        loaded = load(self._store / "models" / f"{model}.tody", self._threads)
        if is_detector(loaded.meta):
            look: Detector | Classifier = Detector(loaded, **self._options)
        else:
            look = Classifier(loaded)
        look.model.run()
        return look

    def _follow_shadow(self) -> None:
        part = asked(self._store)
        model, beside = part[0] if part else None, self.model
        if self._shadow and (model, beside) != (self._shadow.model, self._shadow.beside):
            self._shadow.close()
            self._shadow = None
        if part and beside and part[0] != beside and self._shadow is None:
            with suppress(Exception):  # a candidate may do no harm
                self._shadow = Shadow(part[0], self._load(part[0]), beside, part[1])

    def _tell(self, state: str, loading: str | None = None) -> None:
        """Write the record. A disk that is full is no reason to stop looking."""
        self._due = time.monotonic() + (TRIAL_PERIOD if self._trial else PERIOD)
        record = self.record(state)
        if loading:
            record = health.Record(self._run, self._boot, record.at, state, loading, crashes=self._crashes(loading))
        try:
            health.write(self._store, record)
        except OSError:
            return


def follow(
    store: str | os.PathLike[str] | None = None, threads: int | None = None, camera: str | None = "camera", **options: Any
) -> Followed:
    """A detector that follows the fleet: `Followed` says what it takes.

    Example:
        with tody.follow() as detect, tody.Camera(0) as camera:
            for frame in camera:
                print(detect(frame))
    """
    return Followed(store, threads, camera, **options)


def _usable(store: Path) -> Path:
    if not store.is_dir():
        raise UsageError(
            f"there is no store {store}", "the device was not enrolled, or keeps it elsewhere", "tody enroll, or name it"
        )
    if not os.access(store, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(
            f"the store {store} cannot be used", "it belongs to another user", "run this as the user of tody agent"
        )
    return store


def _telemetry(store: Path, camera: str | None) -> Telemetry | None:
    """Telemetry that is running; none if the disk does not allow it, for that is no reason not to look."""
    if camera is None:
        return None
    try:
        return Telemetry(store, camera).__enter__()
    except OSError:
        return None


def read_state(store: Path) -> State:
    """The state in a store that another process uses."""
    found = []
    for name in COPIES:
        try:
            found.append(decode((store / name).read_bytes()))
        except OSError:
            continue
    return max((state for state in found if state), key=lambda state: state.sequence, default=State())


def _stamp(path: Path) -> tuple[int, int]:
    """Differs whenever a file was replaced."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)
