"""What an update costs the camera, and how soon a device is back: a real agent, a camera at 30 frames a second.

    python tests/bench/fleet_switch.py MODEL [--exchanges 10]

Prints frames that were lost while models were exchanged, beside those lost without an exchange; the time from the moment at
which a bad model came into use until the old one runs again, for one that cannot be loaded and one that crashes its process;
and the memory and CPU time of the agent.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "fleet"), str(Path(__file__).parents[2] / "sdk")]
from agents import Home, agent, environment, runs, unseeing, variant
from brokers import running
from transport_test import TOPICS, link

import tody
from patience import wait_until
from tody.fleet.device.follow import read_state
from tody.fleet.laptop.publish import BrokerSink, publish

FPS, WINDOW = 30, 1.5  # frames a second; seconds of a measurement
ABORTING = """
import os, sys, tody
camera = tody.Camera("fake://door?live=1&frames=0&fps=30")
with tody.follow(sys.argv[1], 1) as look:
    for frame in camera:
        look(frame)
        if look.model == sys.argv[2]:
            os.abort()
"""


def frames_lost(home: Home, store: Path, model: bytes, exchanges: int) -> tuple[list[int], list[int]]:
    """Frames that a script lost in each window with an exchange, and in as many without."""
    lost: tuple[list[int], list[int]] = ([], [])
    with tody.follow(store, 1) as look, tody.Camera(f"fake://door?live=1&frames=0&fps={FPS}") as camera:
        for i in range(2 * exchanges):
            is_exchange = i % 2
            if is_exchange:
                publish_unheard(home, variant(model, f"exchange {i}"))
            camera.read()  # what was lost by publishing from this process does not count
            before, end, used = camera.dropped, time.monotonic() + WINDOW, look.model
            if is_exchange:
                ring_elsewhere(home)
            for frame in camera:
                look(frame)
                if time.monotonic() > end and (not is_exchange or look.model != used):
                    break
            lost[is_exchange].append(camera.dropped - before)
    return lost[1], lost[0]


def publish_unheard(home: Home, content: bytes) -> None:
    home.ask(content, publishing=False, window_s=0.2)
    with link(home.url) as mqtt:
        publish(home.repository, BrokerSink(mqtt, TOPICS))


def ring_elsewhere(home: Home) -> None:
    """Ring the bell from another process, which leaves this one to its frames."""
    port, bell, message = home.url.rsplit(":", 1)[1], TOPICS.doorbell("garden"), json.dumps({"generation": home.generation})
    subprocess.Popen(["mosquitto_pub", "-p", port, "-t", bell, "-m", message])


def back_after(home: Home, store: Path, bad: bytes, script: str | None) -> float:
    """Seconds from the first use of a bad model until the store runs the old one again."""
    good = read_state(store).running
    model = home.ask(bad, window_s=60.0)
    wait_until(lambda: read_state(store).trial == model)
    if script:
        for _ in range(3):
            subprocess.run([sys.executable, "-c", script, str(store), model], env=environment(), stderr=subprocess.DEVNULL)
            if not runs(store, model, trial=True):
                break
    start = time.monotonic()
    wait_until(lambda: runs(store, good))
    return time.monotonic() - start


def agent_cost(pid: int, seconds: float) -> tuple[float, float]:
    """Highest resident memory in MB, and share of a CPU while nothing happens."""

    def cpu() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu()
    time.sleep(seconds)
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return peak * 1024 / 1e6, (cpu() - before) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a .tody file")
    parser.add_argument("--exchanges", type=int, default=10)
    args = parser.parse_args()
    model = args.model.read_bytes()
    with tempfile.TemporaryDirectory() as name, running("mosquitto", Path(name)) as url:
        home = Home(Path(name), url)
        store = home.enrol()
        with agent(store) as process:
            first = home.ask(model)
            wait_until(lambda: runs(store, first), 60)
            memory, cpu = agent_cost(process.pid, 20.0)
            print(f"agent: {memory:.1f} MB at most, {cpu:.2%} of a CPU while idle")
            lost = frames_lost(home, store, model, args.exchanges)
            told = f"{sum(lost[0])} in {args.exchanges} exchanges (at most {max(lost[0])} in one)"
            print(f"frames lost at {FPS} a second: {told}, {sum(lost[1])} in as long without")
            with tody.follow(store, 1):
                seconds = back_after(home, store, unseeing(model), None)
            print(f"a model that cannot be loaded: back {seconds:.2f} s after it came into use")
            seconds = back_after(home, store, variant(model, "aborts"), ABORTING)
            print(f"a model that crashes its process: back {seconds:.2f} s after the crash that was one too many")


if __name__ == "__main__":
    main()
