"""--telemetry of detect and classify: what a fleet wants to know of a camera loop."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import Output

if TYPE_CHECKING:
    from ..camera import Camera

Tell = Callable[[Any, Any, float], None]  # a frame, what was found in it, the seconds that it took
_DIRECT = re.compile(r"(?P<broker>mqtts?://[^/]+)/(?P<fleet>[^/]+)/(?P<device>[^/]+)")


def add_telemetry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--telemetry",
        metavar="STORE",
        help="measure rate, latency, drift and events: for the agent that uses this folder to send, or,"
        " for a broker on this machine, to mqtt://localhost/FLEET/DEVICE at once",
    )


@contextmanager
def telemetry(args: argparse.Namespace, camera: Camera, out: Output) -> Iterator[Tell]:
    """What to call with every frame; it does nothing if no telemetry was asked for.

    Raises:
        UsageError: the address cannot be used.
        DeviceError: there is no broker.
        OSError: the store cannot be written.
    """
    if not args.telemetry:
        yield lambda frame, result, seconds: None
        return
    from ..fleet.telemetry.telemetry import Telemetry
    from ..models import find
    from ..packages import sha256_of
    from ..run.detections import Detections

    with ExitStack() as stack:
        store = _connected(args.telemetry, stack, out) if "://" in args.telemetry else Path(args.telemetry)
        measured = stack.enter_context(Telemetry(store, camera.name, note=out.note))
        measured.use(sha256_of(find(args.model)))
        lost = 0

        def tell(frame: Any, result: Any, seconds: float) -> None:
            nonlocal lost
            found = result if isinstance(result, Detections) else result.labels
            measured.frame(frame, found, seconds, camera.dropped - lost)
            lost = camera.dropped

        yield tell


def _connected(url: str, stack: ExitStack, out: Output) -> Path:
    """Connect to a broker of this machine as a device; returns the store of what waits, which is gone at the end."""
    from ..errors import UsageError
    from ..fleet.address import Address
    from ..fleet.documents import name
    from ..fleet.mqtt import Link
    from ..fleet.reports import presence
    from ..fleet.telemetry.sender import Sender
    from ..fleet.topics import Topics

    match = _DIRECT.fullmatch(url)
    try:
        if match is None:
            raise ValueError("it is not mqtt://HOST/FLEET/DEVICE")
        fleet, device = name(match["fleet"]), name(match["device"])
    except ValueError as e:
        raise UsageError(f"telemetry cannot go to {url}", str(e), "mqtt://localhost/home/camera-1, or a device's store") from e
    topics = Topics(fleet)
    online, address = topics.up(device, "online"), Address.parse(match["broker"])
    store = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    will = online, presence(False, int(time.time()))
    link = stack.enter_context(Link(address, device, topics.up(device, "probe"), will))
    link.publish(online, presence(True, int(time.time())), retain=True)
    stack.callback(link.publish, online, presence(False, int(time.time())), retain=True)
    stack.enter_context(Sender(store, link, topics, device, note=out.note))
    return store
