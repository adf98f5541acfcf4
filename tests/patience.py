"""How long tests wait. No machine is so busy that a test may fail of it: it waits for events, and counts them.

A wait ends when what it waits for comes. Only a failure waits `PATIENCE` out, so it costs nothing to be long.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds, for whatever must come
HANG = 25.0  # seconds: what must end after one or three of them has not; the libraries below would wait for 30 by themselves


def wait_until(what: Callable[[], object], seconds: float = PATIENCE) -> Any:
    """What it gives as soon as it is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return found
