"""tody eval: how good a model is on pictures."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_model, add_runtime, count, open_model, threshold
from .output import Output

if TYPE_CHECKING:
    from ..run.model import Model

NAME = "eval"
HELP = "measure how good a model is on labelled pictures, or how far it agrees with another"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="map: images/ and labels/ (YOLO text files); top1: a folder for each class; agreement: any pictures, or FILE.npz",
    )
    parser.add_argument(
        "--metric",
        choices=("auto", "map", "top1", "agreement"),
        default="auto",
        help="COCO's mean average precision, top-1, or agreement with the model of --against (default: what fits)",
    )
    parser.add_argument("--against", metavar="FLOAT.tody", help="the model whose outputs count as right, for agreement")
    parser.add_argument("--limit", type=count, metavar="N", help="use the first N pictures only")
    parser.add_argument(
        "--iou", type=threshold, metavar="I", help="overlap above which boxes are one thing (default: the model's, or 0.6)"
    )
    parser.add_argument(
        "--multilabel", action="store_true", help="count every class of a place, as COCO does, not the best alone"
    )
    add_runtime(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    from ..models import find
    from ..run.evaluate import evaluate

    model = open_model(args)
    out.line(model.describe())
    with out.stages() as stages:
        result = evaluate(
            model,
            _data(args, model),
            args.metric,
            against=find(args.against) if args.against else None,
            limit=args.limit,
            iou=args.iou,
            multilabel=args.multilabel,
            progress=lambda done, total: stages("pictures", done, total),
        )
    out.data({"model": model.name, **result})
    for key, value in result.items():
        out.line(f"{key:9} {value:.4f}" if isinstance(value, float) else f"{key:9} {value}")
    return 0


def _data(args: argparse.Namespace, model: Model) -> Any:
    """The folder or list that was named, or what is in a file of arrays."""
    path = Path(args.data)
    if args.against is None or path.suffix not in (".npy", ".npz"):
        return path
    from ..compress.arrays import every_row

    return every_row(
        path, [{"name": p.name, "shape": p.shape, "dtype": "float32" if p.quant else p.dtype} for p in model.inputs]
    )
