"""One runtime on one model in a process of its own. bench.py drives it over pipes: a line of JSON in, a line of JSON out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from .. import golden
from .peers import PEERS, Arrays


def memory_kib(key: str) -> int:
    """VmRSS or VmHWM of this process; 0 where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def forget_peak() -> None:
    """Let VmHWM start again from here, where the kernel allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def make_inputs(ports: list[dict[str, Any]]) -> Arrays:
    return {p["name"]: golden.splitmix64(1, tuple(p["shape"]), 0.0, 1.0, p["dtype"]) for p in ports}


def burst(peer: Any, inputs: Arrays, runs: int) -> dict[str, Any]:
    """Time each of so many runs. One more comes before them, to warm caches that another process had cooled."""
    peer.run(inputs)
    times = []
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(runs):
        start = time.perf_counter_ns()
        peer.run(inputs)
        times.append((time.perf_counter_ns() - start) / 1e6)
    return {"ms": times, "cpu": (time.process_time() - cpu) / max(1e-9, time.perf_counter() - wall)}


def serve(order: dict[str, Any], out: TextIO) -> None:
    """Load and run once, then one burst per line read: its number of runs."""

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=out, flush=True)

    inputs = make_inputs(order["inputs"])
    peer = PEERS[order["name"]]()
    forget_peak()
    before = memory_kib("VmRSS")
    times = [time.perf_counter()]
    peer.load(Path(order["path"]), order["threads"], order["precision"])
    times.append(time.perf_counter())
    result = peer.run(inputs)
    times.append(time.perf_counter())
    sample = [float(v) for v in golden.sample(result)[0]]
    say({"load_ms": (times[1] - times[0]) * 1e3, "first_ms": (times[2] - times[1]) * 1e3, "sample": sample})
    for line in sys.stdin:
        answer = burst(peer, inputs, int(line))
        say({**answer, "peak_kib": memory_kib("VmHWM") - before})


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints must not reach the pipe
    try:
        serve(json.loads(sys.argv[1]), out)
    except Exception as e:  # a runtime may raise anything; the answer carries it to the reader
        print(json.dumps({"error": f"{type(e).__name__}: {e}"[:500]}), file=out, flush=True)
    out.flush()
    os._exit(0)  # some runtimes hang or crash while Python tears down


if __name__ == "__main__":
    main()
