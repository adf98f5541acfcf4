"""tody bench: how fast a model is here, and how fast other runtimes are in the same minute."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_model, add_on, add_precision, count, open_device, open_model, positive
from .output import Output, table

NAME = "bench"
HELP = "measure a model, and other runtimes beside it"
_COLUMNS = ("RUNTIME", "MEDIAN", "P95", "MIN", "LOAD", "FIRST", "MIB", "CPU", "DIFFERENCE")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="threads of every runtime (default 1)")
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="time for each runtime (default 2)")
    parser.add_argument("--against", default="", metavar="A,B", help="other runtimes: all, or names such as onnxruntime,ncnn")
    add_on(parser)
    add_precision(parser)
    parser.add_argument("--source", metavar="FILE.onnx", help="the model that was converted; others read it")


def _on_device(args: argparse.Namespace, out: Output) -> int:
    """Runs for --seconds, timed by the device's own clock."""
    import statistics
    import time

    model = open_model(args)
    with open_device(args, model) as device:
        board, end, runs = device.info.board, time.monotonic() + args.seconds, [device.run_once() / 1e3]
        while time.monotonic() < end:
            runs.append(device.run_once() / 1e3)
    median, least = statistics.median(runs), min(runs)
    out.line(f"{model.name} on {board}: {median:.2f} ms, least {least:.2f} ms, {len(runs)} run{'s' * (len(runs) > 1)}")
    out.data({"model": model.name, "board": board, "median_ms": median, "min_ms": least, "runs": len(runs)})
    return 0


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..models import find
    from ..run.bench import bench

    if args.on:
        return _on_device(args, out)
    if args.source and not Path(args.source).is_file():
        raise UsageError(f"there is no file {args.source}", "other runtimes read the source model", "check the path")
    against = [name for name in args.against.split(",") if name]
    result = bench(find(args.model), args.threads, args.seconds, against, args.source, args.precision)
    out.data(result.as_dict())
    out.line(f"{result.model}, {result.precision}, {result.threads} thread{'s' * (result.threads > 1)}; times in ms")
    rows = []
    for r in result.rows:
        times = (r.median_ms, r.p95_ms, r.min_ms, r.load_ms, r.first_ms)
        cells = ["" if t is None else f"{t:.2f}" for t in times]
        cells += [
            "" if v is None else form.format(v)
            for v, form in ((r.peak_mib, "{:.1f}"), (r.cpu, "{:.2f}"), (r.difference, "{:.1g}"))
        ]
        rows.append([f"{r.runtime} {r.version}".strip(), *cells])
    for line in table(_COLUMNS, rows):
        out.line(line)
    for r in result.rows:
        if r.error:
            out.line(f"{r.runtime}: {r.error}")
        elif r.cpu is not None and r.cpu < 0.8 * result.threads:
            out.note(f"{r.runtime}: the CPU was busy with something else ({r.cpu:.2f} of {result.threads} used); measure again")
    return 0
