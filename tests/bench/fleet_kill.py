"""Kill a real agent while it updates: at each of its system calls that touch files, and at random moments.

    python tests/bench/fleet_kill.py MODEL [NEXT] [--random 100] [--calls fsync,rename,...] [--broker]

The update, from MODEL to NEXT or to MODEL under another name, comes from a folder, or with --broker through mosquitto. After
every kill the store must open, hold a sound model and have lost no floor; the next start must finish the update, with the new
model byte for byte. The calls are those of the agent's main thread, counted by strace; the first ones, which only load the
program, are left out.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "fleet"), str(Path(__file__).parents[2] / "sdk")]
from agents import Home, command, environment, runs, variant
from brokers import running

from tody.fleet.device.state import Floors
from tody.fleet.device.store import Store
from tody.fleet.disk import FolderDisk
from tody.fleet.laptop.publish import export

CALLS = ("fsync", "rename", "unlink", "mkdir", "openat", "write")
NOWHERE = "mqtt://127.0.0.1:1"


@dataclass
class Scene:
    """A device that runs one model and is asked to run another, by a folder or a broker (`source`: the agent's options)."""

    folder: Path
    before: str
    after: str
    content: bytes
    floors: Floors
    source: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        return command(self.folder / "store", *self.source, "--once")

    def run(self, *prefix: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*prefix, *self.command], env=self.environment, capture_output=True, text=True)

    @property
    def environment(self) -> dict[str, str]:
        return environment(PYTHONPYCACHEPREFIX=str(self.folder / "cache"), PYTHONDONTWRITEBYTECODE="")

    def finish(self, model: str) -> None:
        """Let the agent do all there is to do; the device must run this model in the end."""
        done = self.run()
        assert done.returncode == 0 and runs(self.folder / "store", model), done.stdout + done.stderr

    def reset(self) -> None:
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        shutil.copytree(self.folder / "door", self.folder / "store")

    def check(self) -> None:
        """The store is sound as it is, and the next start finishes."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "store", copy)
        store = Store(FolderDisk(copy))
        assert store.state.running in (self.before, self.after) and store.has_model(store.state.running), store.state
        assert not store.lost and store.state.floors == store.state.floors.raised(**vars(self.floors)), store.state
        self.finish(self.after)
        assert (self.folder / "store/models" / f"{self.after}.tody").read_bytes() == self.content
        left = [path.name for path in (self.folder / "store").rglob("*") if path.name.startswith((".state", "tmp"))]
        assert not left, left


def prepare(folder: Path, model: bytes, following: bytes, url: str = "") -> Scene:
    home = Home(folder, url or NOWHERE)
    home.enrol()

    def ask(content: bytes) -> str:
        sha256 = home.ask(content, publishing=bool(url), window_s=0.0)
        export(home.repository, folder / "stick")
        return sha256

    before = ask(model)
    (folder / "door").rename(folder / "store")
    scene = Scene(folder, before, "", b"", Floors(), () if url else ("--stick", str(folder / "stick")))
    scene.finish(before)
    (folder / "store").rename(folder / "door")
    scene.floors = Store(FolderDisk(folder / "door")).state.floors
    scene.content, scene.after = following, ask(following)
    return scene


def calls(scene: Scene, kinds: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Each call of these kinds with its number among its kind, from the first one that touches the store."""
    scene.reset()
    trace = scene.folder / "trace"
    assert scene.run("strace", "-o", str(trace), "-e", f"trace={','.join(kinds)}").returncode == 0
    counts: Counter[str] = Counter()
    begun = False
    for line in trace.read_text().splitlines():
        if found := re.match(r"(\w+)\(", line):
            counts[found[1]] += 1
            begun = begun or str(scene.folder / "store") in line
            if begun:
                yield found[1], counts[found[1]]


def kill_at(scene: Scene, kind: str, number: int) -> bool:
    """Kill the agent at a call; returns whether it came to that."""
    scene.reset()
    inject = ["-e", f"trace={kind}", "-e", f"inject={kind}:signal=KILL:when={number}"]
    killed = scene.run("strace", "-o", "/dev/null", *inject).returncode != 0
    scene.check()
    return killed


def kill_after(scene: Scene, seconds: float) -> bool:
    """Kill the agent after a time; returns whether it was still at work."""
    scene.reset()
    process = subprocess.Popen(scene.command, env=scene.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.kill()
    killed = process.wait() != 0
    scene.check()
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a small .tody file")
    parser.add_argument("next", type=Path, nargs="?", help="another one")
    parser.add_argument("--random", type=int, default=100, metavar="N")
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--broker", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running("mosquitto", Path(name)) as url:
        model = args.model.read_bytes()
        following = args.next.read_bytes() if args.next else variant(model, "next")
        scene = prepare(Path(name), model, following, url if args.broker else "")
        kinds = tuple(filter(None, args.calls.split(",")))
        points = list(calls(scene, kinds)) if kinds else []
        killed = Counter(kind for kind, number in points if kill_at(scene, kind, number))
        print(f"killed at {sum(killed.values())} of {len(points)} system calls {dict(killed)}: every store sound, all finished")
        scene.reset()
        start = time.monotonic()
        scene.run()
        whole, dice = time.monotonic() - start, random.Random(7)
        late = sum(kill_after(scene, dice.uniform(0.1, 1.0) * whole) for _ in range(args.random))
        print(f"killed {late} of {args.random} times at random within {whole:.1f} s: every store sound, all finished")


if __name__ == "__main__":
    main()
