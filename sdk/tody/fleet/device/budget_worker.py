"""Tests one model in a process of its own, which may crash or be killed. budget.py starts it and reads the line of JSON."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TodyError
from ...run.bench_worker import forget_peak, memory_kib
from ...run.model import Model, load

RUNS, SECONDS = 50, 3.0  # inferences that are timed, and how long at most; one at least


def measure(model: Model) -> float:
    """Median of the time of an inference, in ms, on what its inputs hold."""
    times: list[float] = []
    end = time.monotonic() + SECONDS
    while not times or (len(times) < RUNS and time.monotonic() < end):
        start = time.perf_counter_ns()
        model.run()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return statistics.median(times)


def look(model: Model) -> None:
    """Look at a grey picture as a camera script would: preprocessing and decoder, where the metadata has them.

    Raises:
        TodyError: they do not fit the model.
    """
    decoder = model.meta.get("decoder")
    if "preprocess" not in model.meta or not isinstance(decoder, dict):
        return
    from ...run.classify import Classifier
    from ...run.detect import Detector

    kind = Classifier if decoder.get("name") == "classify" else Detector
    kind(model)(np.full((48, 64, 3), 128, np.uint8))


def test(path: str, threads: int | None) -> dict[str, Any]:
    """Load, compare golden outputs, look, and measure: the fields of a `budget.Verdict`."""
    forget_peak()
    before = memory_kib("VmRSS")
    try:
        model = load(path, threads, verify=True)
        model.self_test()
        look(model.clone())
        latency = measure(model)
    except MemoryError as e:
        return {"code": "failed-memory", "why": f"there is not enough memory for it: {e}"}
    except TodyError as e:
        return {"code": "failed-test", "why": f"{e.what}: {e.why}" if e.why else e.what}
    grown = max(0, memory_kib("VmHWM") - before) * 1024
    return {"code": "ok", "latency_ms": round(latency, 3), "memory_bytes": grown or model.memory_bytes}


def main() -> None:
    order = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may get between
    signal.alarm(order["alarm"])  # should the agent be gone
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this goes first
    out.write(json.dumps(test(order["path"], order["threads"])))
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
