"""tody compress: a float model becomes a small .tody file that computes in integers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .arguments import add_ram, count, counts, milliseconds, size_or_share, threshold
from .convert import add_facts, add_source, facts
from .output import Output

NAME = "compress"
HELP = "make a model smaller and faster, and measure what that costs in accuracy"
DATA = "pictures like those the model will see (folder or list), or its inputs (.npy, .npz)"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .tflite file, in float")
    parser.add_argument("--data", required=True, metavar="DIR", help=DATA)
    parser.add_argument("-o", "--output", metavar="OUT.tody", help="default: the model's name in this folder")
    parser.add_argument(
        "--weights",
        type=counts,
        metavar="BITS",
        help="2 to 8 (default 8), 6 to 15 with int16 (default there and with float32: as few as keep what the model finds); "
        "16: half floats; 16,8,6,4 tries each and keeps the smallest that serves",
    )
    parser.add_argument(
        "--arithmetic",
        choices=("auto", "int8", "int16", "float32"),
        default="auto",
        help="default: int8, or where that loses too much float32 with short weights, or int16: activations of 16 bits",
    )
    parser.add_argument(
        "--prune", type=threshold, default=0.0, metavar="F", help="share of the multiply-adds that goes with whole channels"
    )
    parser.add_argument(
        "--sparsity", type=threshold, default=0.0, metavar="F", help="share of the weights that become zero, in blocks of four"
    )
    parser.add_argument(
        "--target-size",
        type=size_or_share,
        metavar="SIZE",
        help="bytes that the coded file may have, as 2M, or 23%% of the float32 file: chooses bits for each layer",
    )
    parser.add_argument(
        "--latency",
        type=milliseconds,
        metavar="MS",
        help="time that a run may take here: what int8 leaves of it makes layers more exact",
    )
    parser.add_argument(
        "--max-drop",
        type=threshold,
        default=0.01,
        metavar="F",
        help="loss of accuracy that is allowed (default 0.01: one point)",
    )
    parser.add_argument("--force", action="store_true", help="keep the result even if it loses more; the report says so")
    parser.add_argument(
        "--metric",
        choices=("auto", "map", "top1", "agreement"),
        default="auto",
        help="what is measured (default: what the data has labels for)",
    )
    parser.add_argument(
        "--method",
        choices=("auto", "minmax", "percentile", "mse", "kl"),
        default="auto",
        help="how the ranges of activations are chosen (default: for each what loses least)",
    )
    parser.add_argument(
        "--effort", choices=("fast", "normal", "best"), default="normal", help="time spent on accuracy (default: normal)"
    )
    parser.add_argument("--samples", type=count, default=128, metavar="N", help="how many calibrate, at most (default 128)")
    parser.add_argument(
        "--io", choices=("float32", "int8"), default="float32", help="dtype of inputs and outputs (default: float32)"
    )
    parser.add_argument("--coded", action="store_true", help="store the file coded: smaller, decoded when it is opened")
    add_ram(parser)
    parser.add_argument(
        "--like", metavar="EARLIER", help="float model of the release before: its steps are kept, so that an update is small"
    )
    parser.add_argument("--report", metavar="PAGE.html", help="write the report as a page with plots, too")
    add_source(parser)
    add_facts(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    from ..compress import compress
    from ..convert.facts import target_path

    target = Path(args.output or Path(args.model).with_suffix(".tody").name)
    page = target_path(args.report, args.model)
    with out.stages() as stages:
        report = compress(
            args.model,
            args.data,
            target,
            weights=args.weights,
            arithmetic=args.arithmetic,
            prune=args.prune,
            sparsity=args.sparsity,
            max_drop=args.max_drop,
            force=args.force,
            metric=args.metric,
            method=args.method,
            effort=args.effort,
            samples=args.samples,
            io=args.io,
            coded=args.coded,
            target_size=args.target_size,
            latency=args.latency,
            ram=args.ram,
            like=args.like,
            progress=stages,
            **facts(args),
        )
    if page is not None:
        report.save_page(page)
    out.data({**report.as_dict(), "output": str(target), "report": None if page is None else str(page)})
    out.line(str(report))
    out.line(f"written to {target}" + (f", the report to {page}" if page else ""))
    verb = {"": "bench", "classify": "classify"}.get(report.decoder, "detect")
    out.note(f"next: tody {verb} {shlex.quote(str(target))}{' 0 --web :8080' if report.decoder else ''}")
    return 0
