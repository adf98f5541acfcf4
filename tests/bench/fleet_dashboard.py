"""How long a dashboard and `tody fleet status` take to know a large fleet, and the page to draw it; prints figures.

python tests/bench/fleet_dashboard.py [--devices 10000]
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "fleet")]
from brokers import running
from browser import browser

from tody.fleet.address import Address
from tody.fleet.mqtt import Link
from tody.fleet.reports import Report, presence
from tody.fleet.topics import Topics
from tody.fleet.view.dashboard import Settings, served
from tody.fleet.view.gather import Gatherer
from tody.fleet.view.overview import Overview

TOPICS = Topics("home")
DRAW = "(() => { const start = performance.now(); drawAll(seen.fleet, now()); return performance.now() - start; })()"
KNOWN = "[...seen.fleet.devices.values()].every((device) => device.online && device.model && device.metrics.fps === 20)"


def speak(link: Link, names: list[str]) -> None:
    """What each device has retained on the broker."""
    now = int(time.time())
    sample = json.dumps({"time": now, "fps": 20, "latency_p50_ms": 12}).encode()
    messages = [(TOPICS.up(name, "online"), presence(True, now)) for name in names]
    messages += [(TOPICS.up(name, "report"), Report(name, "garden", now, "a" * 64, 1, "door").encode()) for name in names]
    link.publish_all([*messages, *((TOPICS.up(name, "metrics"), sample) for name in names)], timeout=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    names = [f"cam-{i:05}" for i in range(parser.parse_args().devices)]
    groups = dict.fromkeys(names, "garden")
    with tempfile.TemporaryDirectory() as folder, running("mosquitto", Path(folder)) as url:
        address = Address.parse(url)
        with Link(address, "laptop", TOPICS.up("laptop", "probe")) as link:
            speak(link, names)
            with browser(Path(folder)) as chrome, served(Settings("home", "", devices=groups), address) as page:
                start = time.monotonic()
                chrome.open(page)
                chrome.until(KNOWN, 300)
                print(f"page: {len(names)} devices are known after {time.monotonic() - start:.2f} s", flush=True)
                print(f"page: drawn in {chrome.eval(DRAW):.0f} ms", flush=True)
            overview, start = Overview(TOPICS, groups), time.monotonic()
            Gatherer(overview, link).begin()
            assert all(device.metrics for device in overview.devices.values())
            print(f"status: {len(names)} devices are known after {time.monotonic() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
