"""Measure a model: load time, first inference, latency and memory, beside other runtimes taking turns with ours."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .model import Model, load
from .peers import PEERS, installed, version

ROUNDS = 8
_PATIENCE = 180.0  # seconds until a runtime that does not answer is given up


@dataclass
class Measure:
    """One runtime on one model. Times in milliseconds, with the binding and the copies of inputs and outputs.

    Attributes:
        load_ms: from the path to a model that is ready, the library already imported, the file in the page cache.
        peak_mib: highest resident memory, less what the process had before loading the model; None where it cannot be told.
        cpu: process CPU time per wall time; well below the number of threads means that the machine was busy.
        difference: largest difference of the first output from tody's, relative to tody's largest value.
        error: why there is no measurement.
    """

    runtime: str
    version: str = ""
    median_ms: float | None = None
    p95_ms: float | None = None
    min_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    peak_mib: float | None = None
    cpu: float | None = None
    runs: int = 0
    difference: float | None = None
    error: str = ""


@dataclass
class Bench:
    """Measurements of one model; the first is tody's.

    Attributes:
        precision: as `Model.precision`.
    """

    model: str
    threads: int
    precision: str
    rows: list[Measure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def bench(
    path: str | os.PathLike[str],
    threads: int = 1,
    seconds: float = 2.0,
    against: Sequence[str] = (),
    source: str | os.PathLike[str] | None = None,
    precision: str = "float32",
) -> Bench:
    """Measure a `.tody` file, each runtime in a fresh process, in turns of an order that rotates.

    Args:
        path: the model.
        threads: for every runtime.
        seconds: of inference per runtime.
        against: names of `tody.run.peers.PEERS`, or "all" for those that are installed.
        source: the model it was converted from; peers that read another format take the file beside it with their own suffix.
        precision: of float32 models, for every runtime: "float16" is float16 arithmetic.

    Raises:
        UsageError: unknown names, no source for the peers.
        ModelError: the file is no sound model.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"seconds is {seconds}", "it must be above 0")
    names = _names(against)
    if names and source is None:
        what = "no source model for " + ", ".join(names)
        raise UsageError(what, "they do not read .tody files", "give the .onnx file that was converted: --source")
    model = load(path, threads, precision=precision)  # proves it sound here, where the error is clear
    asked = "float16" if model.precision == "float16" else "float32"  # of peers: what "auto" came to
    files = {"tody": Path(path), **({} if source is None else {name: _peer_file(name, Path(source)) for name in names})}
    workers = [_Worker(name, file, model, threads, asked) for name, file in files.items()]
    try:
        _take_turns([w for w in workers if not w.row.error], seconds)
    finally:
        for worker in workers:
            worker.close()
    for worker in workers:
        worker.finish(workers[0].sample)
    return Bench(model.name, threads, model.precision, [w.row for w in workers])


def _names(against: Sequence[str]) -> list[str]:
    names = installed() if list(against) == ["all"] else [name for name in against if name != "tody"]
    if unknown := [name for name in names if name not in PEERS]:
        raise UsageError(f"no runtime is called {unknown[0]!r}", "known are " + ", ".join(PEERS))
    return names


def _peer_file(name: str, source: Path) -> Path:
    return source if source.suffix == PEERS[name].suffix else source.with_suffix(PEERS[name].suffix)


def _take_turns(workers: list[_Worker], seconds: float) -> None:
    for worker in workers:
        worker.size_bursts(seconds / ROUNDS)
    for r in range(ROUNDS):
        turn = r % max(1, len(workers))
        for worker in workers[turn:] + workers[:turn]:
            worker.burst()


class _Worker:
    """A process that runs one runtime, and what it has measured."""

    def __init__(self, name: str, path: Path, model: Model, threads: int, precision: str) -> None:
        self.row = Measure(name)
        self.times: list[float] = []
        self.cpu: list[float] = []
        self.sample: list[float] = []
        self.runs = 1
        self.process: subprocess.Popen[str] | None = None
        if not path.is_file():
            self.row.error = f"it reads {PEERS[name].suffix} files, and there is no {path.name} beside the source"
            return
        order = {"name": name, "path": str(path), "threads": threads, "precision": precision}
        order["inputs"] = [port._asdict() for port in model.inputs]
        self.row.version = version(name)
        self.process = _start(order, threads)
        answer = self._ask(None)
        self.row.load_ms, self.row.first_ms = answer.get("load_ms"), answer.get("first_ms")
        self.sample = answer.get("sample", [])

    def size_bursts(self, seconds: float) -> None:
        """Choose how many runs fill so many seconds."""
        self.burst()
        self.runs = max(1, min(5000, round(seconds * 1e3 / max(1e-3, min(self.times, default=1e9)))))
        self.times, self.cpu = [], []

    def burst(self) -> None:
        if self.process:
            answer = self._ask(self.runs)
            self.times += answer.get("ms", [])
            self.cpu += [answer["cpu"]] if "cpu" in answer else []
            self.row.peak_mib = answer.get("peak_kib", 0) / 1024 or self.row.peak_mib

    def finish(self, ours: list[float]) -> None:
        """Work the figures out. A runtime that failed on the way has none but its error."""
        if self.times and not self.row.error:
            low, mid, high = np.percentile(self.times, [0, 50, 95])
            self.row.min_ms, self.row.median_ms, self.row.p95_ms = float(low), float(mid), float(high)
            self.row.cpu, self.row.runs = float(np.median(self.cpu)), len(self.times)
        if self.sample and len(self.sample) == len(ours):
            a, b = np.array(ours), np.array(self.sample)
            self.row.difference = float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), 1e-30))

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()

    def _ask(self, runs: int | None) -> dict[str, Any]:
        """Order a burst (None: only wait for the greeting) and read the answer."""
        process = self.process
        assert process and process.stdin and process.stdout
        try:
            if runs is not None:
                print(runs, file=process.stdin, flush=True)
            ready = select.select([process.stdout], [], [], _PATIENCE)[0]
            line = process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line.strip() else {"error": "it died or did not answer"}
        if "error" in answer:
            self.row.error = answer["error"]
            self.close()
            self.process = None
        return answer


def _start(order: dict[str, Any], threads: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tody.run.bench_worker", json.dumps(order)]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, text=True, env=env)
