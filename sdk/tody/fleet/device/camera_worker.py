"""The camera process of an agent: looks at every frame with the model that the store runs. camera_process.py starts it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from ...camera import Camera
from ...camera.source import Image
from ...errors import TodyError
from .follow import follow

STILLS = 5.0  # pictures a second of a source that names no rate


def frames(source: str) -> Iterator[tuple[Image, int]]:
    """What a source gives, and before each frame how many were missed.

    A clip, or pictures, stand for a camera: again and again, at the rate at which they were taken.
    """
    while True:
        with Camera(source) as camera:
            step, due, dropped = 1 / (camera.fps or STILLS), time.monotonic(), 0
            for frame in camera:
                if not camera.live:
                    time.sleep(max(0.0, due - time.monotonic()))
                    due = max(due, time.monotonic() - step) + step
                yield frame, camera.dropped - dropped
                dropped = camera.dropped
            if camera.live or camera.index < 0:
                return


def main() -> int:
    order = json.loads(sys.argv[1])
    parent, ended = os.getppid(), threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, who then ends this process
    try:
        with follow(order["store"], order["threads"], order["camera"]) as look:
            for frame, missed in frames(order["source"]):
                if ended.is_set() or os.getppid() != parent:  # the agent is gone
                    break
                with suppress(TodyError):  # counted as an error of the model
                    look(frame, missed)
    except TodyError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
