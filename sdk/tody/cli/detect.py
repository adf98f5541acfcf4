"""tody detect: boxes around what a source shows."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

from .arguments import open_model, threshold
from .output import Output
from .watch import add_arguments, watch

NAME = "detect"
HELP = "find things in a camera, stream, clip or pictures"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument(
        "--score", type=threshold, metavar="S", help="keep what is at least this sure, 0 to 1 (default: the model's)"
    )
    parser.add_argument(
        "--iou", type=threshold, metavar="I", help="overlap above which boxes are one thing (default: the model's)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    from ..run.detect import Detector

    detector = Detector(open_model(args), score=args.score, iou=args.iou)
    out.line(detector.model.describe())
    return watch(args, out, detector)
