"""tody profile: where a model spends its time."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .arguments import add_model, add_on, add_runtime, count, on_device, open_device, open_model
from .output import Output, table

if TYPE_CHECKING:
    from ..run.model import Model

NAME = "profile"
HELP = "show the time of every operator of a model"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--runs", type=count, default=50, metavar="N", help="runs of which the median is taken (default 50)")
    parser.add_argument("--top", type=count, metavar="N", help="only the N operators that take longest, slowest first")
    add_on(parser)
    add_runtime(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    model = open_model(args)
    if args.on:
        return _on_device(args, model, out)
    out.line(model.describe())
    for port in model.inputs:
        model.input(port.name)[...] = 0
    rows = model.profile(args.runs)
    total = sum(r.ms for r in rows)
    if args.top:
        rows = sorted(rows, key=lambda r: -r.ms)[: args.top]
    cells = []
    for r in rows:
        speed = "" if r.gmacs_per_s is None else f"{r.gmacs_per_s:.1f}"
        peak = "" if r.peak_share is None else f"{100 * r.peak_share:.0f}%"
        shape, moved = "x".join(map(str, r.shape)), f"{r.bytes / 2**10:.0f}"
        cells.append((r.index, r.op, r.detail, shape, f"{r.ms:.3f}", f"{100 * r.share:.1f}%", speed, peak, moved))
    for line in table(("#", "OPERATOR", "", "OUTPUT", "MS", "SHARE", "GMAC/S", "OF PEAK", "KIB"), cells):
        out.line(line)
    out.line(f"{total:.3f} ms in all, median of {args.runs} runs; the peak is what {model.runtime.kernels} products reach here")
    facts = {"model": model.name, "kernels": model.runtime.kernels, "threads": model.runtime.threads, "runs": args.runs}
    out.data({**facts, "total_ms": total, "operators": [r.as_dict() for r in rows]})
    return 0


def _on_device(args: argparse.Namespace, model: Model, out: Output) -> int:
    with open_device(args, model) as device:
        out.line(on_device(model, device))
        board, layers = device.info.board, device.profile()
    total = max(1, sum(layer.us for layer in layers))
    rows = list(enumerate(layers))
    if args.top:
        rows = sorted(rows, key=lambda r: -r[1].us)[: args.top]
    cells = [(i, layer.name, f"{layer.us / 1e3:.3f}", f"{100 * layer.us / total:.1f}%") for i, layer in rows]
    for line in table(("#", "OPERATOR", "MS", "SHARE"), cells):
        out.line(line)
    out.line(f"{total / 1e3:.3f} ms in all on {board}, one run")
    operators = [{"index": i, "op": layer.name, "ms": layer.us / 1e3} for i, layer in rows]
    out.data({"model": model.name, "board": board, "total_ms": total / 1e3, "operators": operators})
    return 0
