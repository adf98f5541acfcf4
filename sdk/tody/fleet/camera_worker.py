"""The camera process of an agent: looks at every frame with the model that the store runs. camera_process.py starts it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress

from ..camera import Camera
from ..errors import TodyError
from .follow import follow


def main() -> int:
    order = json.loads(sys.argv[1])
    parent, ended = os.getppid(), threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, who then ends this process
    try:
        with follow(order["store"], order["threads"], order["camera"]) as look, Camera(order["source"]) as camera:
            dropped = 0
            for frame in camera:
                if ended.is_set() or os.getppid() != parent:  # the agent is gone
                    break
                missed, dropped = camera.dropped - dropped, camera.dropped
                with suppress(TodyError):  # counted as an error of the model
                    look(frame, missed)
    except TodyError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
