"""tody sensitivity: which layers of a model suffer from few bits."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

from .arguments import count
from .compress import DATA
from .convert import add_facts, add_source, facts
from .output import Output, table

NAME = "sensitivity"
HELP = "show which layers of a model suffer from few bits"


def bits(text: str) -> tuple[int, ...]:
    """8,6,4 as numbers, the most first."""
    words = text.split(",")
    if not all(word.isdecimal() and 2 <= int(word) <= 8 for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of bits such as 8,6,4 (2 to 8)")
    return tuple(sorted({int(word) for word in words}, reverse=True))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .tflite file, in float")
    parser.add_argument("--data", required=True, metavar="DIR", help=DATA)
    parser.add_argument("--bits", type=bits, default=(8, 6, 4, 3), metavar="8,6,4,3", help="bits of the weights to try")
    parser.add_argument("--samples", type=count, default=4, metavar="N", help="samples to run on (default 4)")
    parser.add_argument("--top", type=count, metavar="N", help="print only the N layers that suffer most")
    add_source(parser)
    add_facts(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    from ..compress.sensitivity import sensitivity

    told = {key: value for key, value in facts(args).items() if key in ("shapes", "end", "constants", "decoder", "preprocess")}
    with out.stages() as stages:
        found = sensitivity(
            args.model,
            args.data,
            bits=args.bits,
            samples=args.samples,
            progress=lambda done, total: stages("layers", done, total),
            **told,
        )
    out.data(found.as_dict())
    worst = sorted(found.layers, key=lambda layer: layer.sqnr_db[args.bits[-1]])
    out.line(f"{found.name}: SQNR in dB of the outputs when one layer alone is in int8, its weights in so many bits")
    header = ("LAYER", "OPERATOR", "WEIGHTS", "MMAC", *(f"{b} BIT" for b in args.bits))
    rows = [
        (layer.name, layer.op, layer.parameters, f"{layer.macs / 1e6:.1f}", *(f"{layer.sqnr_db[b]:.1f}" for b in args.bits))
        for layer in worst[: args.top]
    ]
    for line in table(header, rows):
        out.line(line)
    return 0
