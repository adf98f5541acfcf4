"""A candidate that runs beside the model in use on a share of the frames, and is only compared with it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...run.detections import Detections
from ...run.match import match
from ..disk import FolderDisk, discard, put
from ..documents import sha256

FILE = "shadow.json"  # in the store: what the agent asks of the camera process
KEPT = 256  # latencies that the median is taken of
Look = Callable[[Any], Any]


def ask(store: Path, part: tuple[str, float] | None) -> None:
    """Ask the camera process to compare this model (its SHA-256, and the share of frames), or none.

    Raises:
        OSError: the store cannot be written.
    """
    if part == asked(store):
        return
    if part is None:
        discard(FolderDisk(store), FILE)
    else:
        put(FolderDisk(store), FILE, [json.dumps({"model": part[0], "share": part[1]}).encode()])


def asked(store: Path) -> tuple[str, float] | None:
    """What `ask` has asked for."""
    try:
        facts = json.loads((store / FILE).read_bytes())
        return sha256(facts["model"]), float(facts["share"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


class Shadow:
    """Runs a candidate in a thread of its own; a frame that comes while it is busy is left out.

    Args:
        model: SHA-256 of the candidate.
        look: the candidate: a Detector or Classifier.
        beside: SHA-256 of the model it is compared with.
        share: of the frames, 0 to 1.
    """

    def __init__(self, model: str, look: Look, beside: str, share: float) -> None:
        self.model, self.beside, self.share = model, beside, share
        self._look, self._dice = look, random.Random()
        self._ready = threading.Condition()
        self._waiting: tuple[Any, Any] | None = None
        self._busy = self._closed = False
        self._frames = self._errors = 0
        self._equal = self._compared = 0.0
        self._ms: deque[float] = deque(maxlen=KEPT)
        threading.Thread(target=self._work, daemon=True, name="tody-shadow").start()

    def offer(self, frame: Any, found: Any) -> None:
        """A frame, and what the model in use made of it. Returns at once."""
        if self._dice.random() >= self.share or self._busy or self._waiting is not None:
            return
        with self._ready:
            self._waiting = (np.array(frame), found)  # a copy: the script may draw on its frame
            self._ready.notify()

    def close(self) -> None:
        with self._ready:
            self._closed = True
            self._ready.notify()

    def facts(self) -> dict[str, Any]:
        """Frames and errors so far, agreement from 0 to 1 (None before there is any), median latency in ms."""
        agreement = self._equal / self._compared if self._compared else None
        ms = list(self._ms)
        return {
            "model": self.model,
            "beside": self.beside,
            "frames": self._frames,
            "errors": self._errors,
            "agreement": agreement,
            "latency_ms": round(statistics.median(ms), 3) if ms else None,
        }

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting is not None or self._closed)
                if self._closed or self._waiting is None:
                    return
                (frame, found), self._waiting, self._busy = self._waiting, None, True
            try:
                self._compare(frame, found)
            except Exception:  # a candidate may do no harm
                self._errors += 1
            finally:
                self._busy = False

    def _compare(self, frame: Any, found: Any) -> None:
        start = time.perf_counter()
        own = self._look(frame)
        self._ms.append((time.perf_counter() - start) * 1e3)
        equal, compared = agreement(found, own)
        self._frames += 1
        self._equal += equal
        self._compared += compared


def agreement(before: Any, after: Any) -> tuple[float, float]:
    """How much of two results is equal, and of how much: boxes that pair (F1), or the best label of classifiers."""
    if isinstance(before, Detections) and isinstance(after, Detections):
        return 2.0 * len(match(before, after)), float(len(before) + len(after))
    if isinstance(before, Detections) or isinstance(after, Detections):
        return 0.0, 1.0
    return float(bool(before) and bool(after) and before[0].name == after[0].name), 1.0
