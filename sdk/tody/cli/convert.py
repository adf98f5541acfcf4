"""tody convert: an ONNX or TFLite file becomes a .tody file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from .arguments import add_ram, bind, decoder, numbers, shape, size, threshold
from .output import Output

NAME = "convert"
HELP = "turn an ONNX or TFLite model into a .tody file, and check that it computes the same"


def add_source(parser: argparse.ArgumentParser) -> None:
    """What fixes the shapes and the end of a source model."""
    parser.add_argument(
        "--shape", action="append", default=[], type=shape, metavar="[NAME=]1x3x320x320", help="fix the shape of an input"
    )
    parser.add_argument("--size", type=size, metavar="WxH", help="the same for the input that takes pictures")
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        type=bind,
        metavar="NAME=VALUE",
        help="make an input a constant: 3, 1,2,3 or FILE.npy",
    )
    parser.add_argument(
        "--end", action="append", default=[], metavar="TENSOR", help="end the model at this tensor; given again: at several"
    )


def add_facts(parser: argparse.ArgumentParser) -> None:
    """What a model file says besides its numbers: how pictures go in and what its outputs mean."""
    parser.add_argument(
        "--decoder",
        default="auto",
        type=decoder,
        metavar="NAME",
        help="how boxes are read from the outputs: auto, none, a name, or its parameters as JSON (docs/format.md, `decoder`)",
    )
    parser.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    parser.add_argument("--fit", choices=("letterbox", "stretch", "crop", "top_left"), help="how a frame is fitted to the size")
    parser.add_argument("--pad", type=numbers, metavar="N[,N,N]", help="colour around a letterboxed frame, 0 to 255")
    parser.add_argument("--pixels", choices=("rgb", "bgr", "gray"), help="order of the channels that the model wants")
    parser.add_argument("--mean", type=numbers, metavar="N[,N,N]", help="subtracted from pixels of 0 to 255")
    parser.add_argument("--std", type=numbers, metavar="N[,N,N]", help="what pixels are divided by")
    parser.add_argument("--score", type=threshold, metavar="S", help="default threshold of the score")
    parser.add_argument("--iou", type=threshold, metavar="I", help="default threshold of the overlap")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .tflite file")
    parser.add_argument("-o", "--output", metavar="OUT.tody", help="default: the model's name in this folder")
    add_source(parser)
    add_facts(parser)
    parser.add_argument(
        "--tolerance", type=threshold, metavar="T", help="largest difference from the source, relative to an output's range"
    )
    parser.add_argument("--coded", action="store_true", help="store it in fewer bytes, which are decoded when it is loaded")
    parser.add_argument(
        "--io", choices=("float32", "int8"), default="float32", help="int8: inputs and outputs of a quantised model too"
    )
    add_ram(parser)
    parser.add_argument("--no-verify", action="store_true", help="do not run the source model to compare")
    parser.add_argument("--force", action="store_true", help="keep the result even if it differs by more; the report says so")


def shapes(args: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """The shapes that `add_source` asked for, by the name of the input.

    Raises:
        UsageError: a shape without a name where several inputs are, or no input takes pictures.
    """
    from ..errors import UsageError

    found: dict[str, tuple[int, ...]] = dict(args.shape)
    if not args.size and "" not in found:
        return found
    from ..convert.source import read_source

    inputs = read_source(args.model).inputs
    if "" in found:
        if len(inputs) != 1:
            raise UsageError(
                "--shape needs a name", f"the model has the inputs {', '.join(inputs)}", "--shape NAME=1x3x320x320"
            )
        found[next(iter(inputs))] = found.pop("")
    if args.size:
        pictures = [(name, dims) for name, dims in inputs.items() if len(dims) == 4]
        if len(pictures) != 1:
            raise UsageError(
                "--size does not say which input", f"the model has the inputs {', '.join(inputs)}", "--shape NAME=1x3x320x320"
            )
        (name, dims), (width, height) = pictures[0], args.size
        found[name] = (1, height, width, dims[3]) if dims[3] in (1, 3) else (1, dims[1] or 3, height, width)
    return found


def facts(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_source` and `add_facts` asked for, as keyword arguments of `tody.convert` and `tody.compress`."""
    keys = ("fit", "pad", "pixels", "mean", "std")
    return {
        "shapes": shapes(args),
        "end": args.end,
        "constants": dict(args.bind),
        "decoder": args.decoder,
        "labels": args.labels,
        "preprocess": {k: getattr(args, k) for k in keys if getattr(args, k) is not None} or "auto",
        "score": args.score,
        "iou": args.iou,
    }


def run(args: argparse.Namespace, out: Output) -> int:
    from ..convert import convert

    target = Path(args.output or Path(args.model).with_suffix(".tody").name)
    report = convert(
        args.model,
        target,
        **facts(args),
        coded=args.coded,
        io=args.io,
        ram=args.ram,
        check=not args.no_verify,
        tolerance=args.tolerance,
        force=args.force,
    )
    out.data({**report.as_dict(), "output": str(target)})
    out.line(str(report))
    out.line(f"written to {target}")
    verb = {"": "bench", "classify": "classify"}.get(report.decoder, "detect")
    out.note(f"next: tody {verb} {shlex.quote(str(target))}{' 0 --web :8080' if report.decoder else ''}")
    return 0
