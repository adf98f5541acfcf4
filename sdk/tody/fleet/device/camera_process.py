"""Keeps a camera process running beside the agent: a model that crashes takes that process with it, not the agent."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .budget import environment

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before it is started again; doubles with every early end
SETTLED = 60.0  # seconds after which a process counts as one that works


class CameraProcess:
    """Use it as a context.

    Args:
        store: the device's store, whose model it uses.
        source: what a Camera opens.
        camera: its name in events.
        threads: of the model.
        say: called with lines for the log.
    """

    def __init__(self, store: Path, source: str, camera: str, threads: int | None, say: Callable[[str], None]) -> None:
        order = {"store": str(store), "source": source, "threads": threads, "camera": camera}
        self._command = [sys.executable, "-m", "tody.fleet.device.camera_worker", json.dumps(order)]
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._pause = FIRST_PAUSE

    def __enter__(self) -> CameraProcess:
        self.tend()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tend(self) -> float:
        """Start it if it does not run and may; returns the seconds after which that has to be looked at again."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode, now)
        if self._process is None and now >= self._due:
            self._started = now
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, env=environment())
        return 1.0 if self._process else max(0.0, self._due - now)

    def _ended(self, status: int, now: float) -> None:
        self._process = None
        if now - self._started > SETTLED:
            self._pause = FIRST_PAUSE
        self._due = now + self._pause
        self._say(f"the camera process ended with {status}, it is started again in {self._pause:g} s")
        self._pause = min(LONGEST_PAUSE, self._pause * 2)

    def restart(self) -> None:
        """End it and start it anew."""
        self.stop()
        self._due, self._pause = 0.0, FIRST_PAUSE
        self.tend()

    def stop(self) -> None:
        """End it: kindly, then not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
