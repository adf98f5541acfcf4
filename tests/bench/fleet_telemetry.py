"""100,000 samples through a real mosquitto: camera and sender processes are killed, and for a part of it nobody sends.

python tests/bench/fleet_telemetry.py [SAMPLES [KILLS]]: prints what arrived, how often twice, and the size of the outbox. Then,
what a frame costs. The clock is injected: a sample is one of every second, so the outage is longer than an hour.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "fleet")]
DEVICE, MOST = "pi1", 4 << 20
CAMERA = """
import sys
from pathlib import Path
from tody.fleet.telemetry.metrics import idle
from tody.fleet.telemetry.telemetry import METRICS, board_sample, open_outbox
outbox, most = open_outbox(Path(sys.argv[1])), int(sys.argv[2])
while (done := outbox.last(METRICS)) < most:
    facts = {**board_sample(3), **idle(1.0)}
    outbox.add(METRICS, [{"time": 1.7e9 + i, **facts, "frames": i} for i in range(done + 1, min(done + 50, most) + 1)])
"""
SENDER = """
import sys, threading
from pathlib import Path
from tody.fleet.address import Address
from tody.fleet.mqtt import Link
from tody.fleet.telemetry.sender import Sender
from tody.fleet.topics import Topics
topics = Topics("home")
link = Link(Address.parse(sys.argv[2]), "pi1", topics.up("pi1", "probe"))
with link.patient(), Sender(Path(sys.argv[1]), link, topics, "pi1", tick=lambda: 0.0):
    threading.Event().wait()
"""


class Reader:
    """Counts samples as any consumer could: what has a sequence that was seen is dropped."""

    def __init__(self) -> None:
        self.last = self.messages = self.twice = 0
        self.wrong: list[dict[str, Any]] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        body = json.loads(payload)
        last, samples = body["seq"], body["samples"]
        if last <= self.last:
            self.twice += 1
            return
        first = last - samples + 1
        if first != self.last + 1 or body["frames"] != (first + last) * samples // 2:
            self.wrong.append(body)
        self.last, self.messages = last, self.messages + 1


class Process:
    """One that is killed now and then."""

    def __init__(self, code: str, *arguments: str) -> None:
        self._command, self.kills = [sys.executable, "-c", code, *arguments], 0
        self._process = subprocess.Popen(self._command)

    def kill(self, again: bool = True) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1
        if again:
            self._process = subprocess.Popen(self._command)


def run(samples: int, kills: int) -> None:
    from brokers import running

    from tody.fleet.address import Address
    from tody.fleet.mqtt import Link
    from tody.fleet.topics import Topics

    topics, reader, seed = Topics("home"), Reader(), random.Random(6)
    with tempfile.TemporaryDirectory() as name, running("mosquitto", Path(name)) as url:
        store, start = Path(name) / "store", time.monotonic()
        with Link(Address.parse(url), "laptop", topics.up("laptop", "probe")) as laptop:
            laptop.listen(topics.up(DEVICE, "metrics"), reader)
            largest = live(store, url, samples, kills, reader, seed)
        print(f"{reader.last:,} of {samples:,} samples arrived in {reader.messages:,} messages, {reader.twice:,} came twice,")
        print(f"{len(reader.wrong)} gaps or wrong sums; {kills} kills of the camera, {kills} of the sender;")
        print(f"the outbox had {largest / 2**20:.2f} MiB at most, of {MOST >> 20}; {time.monotonic() - start:.0f} s")
        assert reader.last == samples and not reader.wrong and largest <= MOST


def live(store: Path, url: str, samples: int, kills: int, reader: Reader, seed: random.Random) -> int:
    """Kill now and then until all has arrived; returns the largest size of the outbox, in bytes."""
    largest = 0

    def look() -> None:
        nonlocal largest
        while not ended.wait(0.05):
            largest = max(largest, sum(file.stat().st_size for file in store.glob("telemetry.sqlite*")))

    ended = threading.Event()
    watcher = threading.Thread(target=look)
    watcher.start()
    camera, sender = Process(CAMERA, str(store), str(samples)), Process(SENDER, str(store), url)
    try:
        for _ in range(kills // 2):
            time.sleep(seed.uniform(0.3, 0.9))
            camera.kill()
            time.sleep(seed.uniform(0.3, 0.9))
            sender.kill()
        sender.kill(again=False)  # the outage
        for _ in range(kills - camera.kills):
            time.sleep(seed.uniform(0.5, 0.9))
            camera.kill()
        sender = Process(SENDER, str(store), url)
        for _ in range(kills - kills // 2 - 1):
            time.sleep(seed.uniform(0.5, 1.2))
            sender.kill()
        end = time.monotonic() + 300
        while reader.last < samples and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        camera.kill(again=False)
        sender.kill(again=False)
        ended.set()
        watcher.join()
    return largest


def costs() -> None:
    import numpy as np

    from tody.fleet.telemetry.telemetry import Telemetry
    from tody.run.detections import Detections

    picture = np.full((1080, 1920, 3), 90, np.uint8)
    for things in (0, 1, 5, 20):
        with tempfile.TemporaryDirectory() as name:
            telemetry = Telemetry(Path(name))
            boxes = [[100 * k, 0, 100 * k + 40, 80] for k in range(things)]
            found = Detections(boxes, [0.9] * things, [0] * things, size=(1920, 1080), classes=("person",))
            start = time.thread_time()
            for _ in range(2000):
                telemetry.frame(picture, found, 0.02)
            seconds = (time.thread_time() - start) / 2000
            print(f"a frame with {things} things: {seconds * 1e6:.0f} us, {seconds * 30:.2%} of a frame at 30 a second")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    costs()
