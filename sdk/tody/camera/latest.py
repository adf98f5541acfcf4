"""Latest frame wins: read a live source in a thread and keep only its newest frame."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

from ..errors import CameraError
from .source import Frame, Source


class Latest:
    """One thread reads as fast as frames come; `read` waits for one that was not given out yet.

    `taken` counts the frames that came, `dropped` those that a newer one replaced before anybody read them.
    """

    def __init__(self, source: Source, name: str, timeout_s: float) -> None:
        self._source, self._name, self._timeout_s = source, name, timeout_s
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._ended = self._closing = False
        self.taken = self.dropped = 0
        self._thread = threading.Thread(target=self._grab, daemon=True, name="tody-camera")
        self._thread.start()

    def _grab(self) -> None:
        try:
            while not self._closing:
                frame = self._source.read()
                with self._changed:
                    if frame is None:
                        break
                    self.dropped += self._frame is not None
                    self._frame, self.taken = frame, self.taken + 1
                    self._changed.notify()
        except Exception as e:
            self._error = e
        finally:
            self._source.close()  # by the thread that reads: releasing a capture under a reader crashes
            with self._changed:
                self._ended = True
                self._changed.notify()

    def read(self) -> Frame | None:
        """The newest frame; None if the source came to its end by its own counting.

        Raises:
            CameraError: it stopped, or nothing came within the time limit.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: self._frame is not None or self._ended, self._timeout_s)
            frame, self._frame = self._frame, None
        if frame is not None:
            return frame
        if self._error is not None:
            raise self._error
        if came and self._source.ends:
            return None
        hint = "check the cable and the network, then start again"
        if came:
            raise CameraError(f"{self._name} ended", f"it was unplugged or switched off after {self.taken} frames", hint)
        why = f"no frame came within {self._timeout_s:g} s, after {self.taken} frames"
        raise CameraError(f"{self._name} stopped answering", why, hint)

    def close(self) -> None:
        """Ask the thread to end and wait a moment. A driver that hangs is left to it."""
        self._closing = True
        if self._thread is not threading.current_thread():
            self._thread.join(1.0)
