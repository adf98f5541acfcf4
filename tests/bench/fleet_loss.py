"""A device updates over a link that loses packets or breaks, in a network namespace of its own; prints figures as JSON lines.

    python tests/bench/fleet_loss.py [--size 4194304] [--loss 0,10,30] [--cut 5] [--times 3]

Needs root, unshare, nft and mosquitto. Loss is in each direction; --cut: seconds between resets of the device's connection.
`overhead`: of the payloads that arrived, beyond the model's size; `wire`: of all packets that arrived, headers and all.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "fleet")]
import simdevice
from brokers import free_port, running
from simdevice import SimDevice

from tody.errors import TodyError
from tody.fleet.chunks import chunk, pieces
from tody.fleet.documents import Release
from tody.fleet.laptop import release as releasing
from tody.fleet.laptop import steer
from tody.fleet.laptop.laptop import Laptop, make
from tody.fleet.laptop.signing import Owner
from tody.fleet.mqtt import Link

INSIDE = "TODY_LOSSY_NAMESPACE"
MTU = 1500  # and no larger packets inside of the machine: the loss is of packets as they are on a wire
LONGEST = 600.0  # seconds of one update


class CountingLink(Link):
    """Counts the bytes of what arrives, and the connections."""

    received = connections = 0

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        CountingLink.received += len(message.payload)
        super()._on_message(client, data, message)

    def _on_connect(self, *event: Any) -> None:
        CountingLink.connections += 1
        super()._on_connect(*event)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def lossy(port: int, percent: int) -> Iterator[Callable[[], int]]:
    """Drop so many of a hundred packets to and from a port of this machine; tells how many bytes came from it."""
    rules = "".join(f"tcp {side} {port} numgen random mod 100 < {percent} drop\n" for side in ("dport", "sport"))
    rules += f"tcp sport {port} counter name arrived\n"
    chain = f"table inet lossy {{ counter arrived {{ }}\nchain in {{ type filter hook input priority 0;\n{rules}}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=chain, check=True, text=True)

    def arrived() -> int:
        told = subprocess.run(
            ["nft", "list", "counter", "inet", "lossy", "arrived"], capture_output=True, check=True, text=True
        )
        return int(told.stdout.partition("bytes ")[2].split()[0])

    try:
        yield arrived
    finally:
        run("nft", "delete", "table", "inet", "lossy")


@contextmanager
def cutting(port: int, seconds: float) -> Iterator[None]:
    """Reset all connections to a port again and again; 0: never."""
    end = threading.Event()

    def cut() -> None:
        while not end.wait(seconds):
            subprocess.run(["ss", "-K", "dport", "=", str(port)], capture_output=True)

    thread = threading.Thread(target=cut)
    if seconds:
        thread.start()
    try:
        yield
    finally:
        end.set()
        if seconds:
            thread.join()


def publish(laptop: Laptop, size: int) -> Release:
    """A release of random bytes: they cannot be compressed, and no device could run them."""
    content = random.Random(size).randbytes(size)
    parts = list(pieces(content))
    with Owner(laptop, lambda purpose: "door").signing() as repository:
        for part in parts:
            repository.add_blob(part)
        version = 1 + len(repository.releases("doors"))
        release = Release(chunk_name(content), size, "random", version, 0, tuple(map(chunk, parts)))
        desired = steer.roll_out(repository.desired("doors"), "doors", release.model, [], steer.Terms(window_s=0.0))
        repository.sign_documents("doors", [release], desired, releasing.outdated(repository, desired, release))
    return release


def chunk_name(content: bytes) -> str:
    return chunk(content).sha256


def update(laptop: Laptop, folder: Path, port: int, size: int, loss: int, cut: float) -> dict[str, Any]:
    """One update of one new device; `overhead`: what it received beyond the model, as a share of it."""
    release = publish(laptop, size)
    CountingLink.received = CountingLink.connections = 0
    with lossy(port, loss) as arrived, cutting(port, cut):
        start = time.monotonic()
        device = SimDevice(laptop, "door-0", folder)
        with device.link.patient():
            while device.state.active != release.model and time.monotonic() - start < LONGEST:
                with suppress(TodyError, OSError):  # as the agent does: again, with what is there already
                    device.look_and_act()
                time.sleep(0.05)
        seconds, wire = time.monotonic() - start, arrived() / size - 1
    overhead = CountingLink.received / size - 1
    sound = device.state.active == release.model and device._store.has_model(release.model)
    facts = {"loss": loss, "cut": cut, "bytes": size, "seconds": round(seconds, 1), "overhead": round(overhead, 3)}
    return {**facts, "wire": round(wire, 3), "connections": CountingLink.connections, "sound": sound}


def inside(args: argparse.Namespace) -> None:
    run("ip", "link", "set", "lo", "mtu", str(MTU), "gso_max_segs", "1", "gso_max_size", str(MTU), "up")
    simdevice.Link = CountingLink  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as made:
        folder, port = Path(made), free_port()
        with running("mosquitto", folder, port) as url:
            laptop = make(folder / "home", "home", lambda purpose: "door", ["doors"], url)
            laptop.devices["door-0"] = "doors"
            laptop.save()
            for i, loss in enumerate(args.loss * args.times):
                for cut in dict.fromkeys((0.0, args.cut)):
                    facts = update(laptop, folder / f"{i}-{cut}", port, args.size, loss, cut)
                    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4 << 20)
    parser.add_argument("--loss", type=lambda text: list(map(int, text.split(","))), default=[0, 10, 30])
    parser.add_argument("--cut", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=1)
    if os.environ.get(INSIDE):
        inside(parser.parse_args())
    else:
        parser.parse_args()
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
