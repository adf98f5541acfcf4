"""tody check: an ONNX or TFLite file before converting it, a .tody file before trusting it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .arguments import open_model
from .convert import add_source, shapes
from .output import Output

NAME = "check"
HELP = "say whether an ONNX or TFLite file can be converted and what it would cost; or prove a .tody file sound and test it"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .tflite file, a .tody file, or a name of the cache")
    add_source(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    return _check_source(args, out) if Path(args.model).suffix in (".onnx", ".tflite") else _check_model(args, out)


def _check_source(args: argparse.Namespace, out: Output) -> int:
    from ..convert import check
    from ..errors import UnsupportedError

    report = check(args.model, shapes=shapes(args), end=args.end, constants=dict(args.bind))
    out.data(report.as_dict())
    out.line(str(report))
    if not report.supported:
        return UnsupportedError.exit_code
    out.note(f"next: tody convert {shlex.quote(args.model)} -o {shlex.quote(report.name + '.tody')}")
    return 0


def _check_model(args: argparse.Namespace, out: Output) -> int:
    """Structure, checksums, golden outputs with every kernel set that this CPU can run, and which sets give the same bytes."""
    from .._runtime import kernel_sets
    from ..models import find
    from ..run.model import load
    from ..run.selftest import self_test

    model = open_model(args, verify=True)
    out.line(f"{model.name}: sound, checksums match")
    errors: dict[str, float] = {}
    alike: dict[bytes, list[str]] = {}
    if model.meta.get("golden"):
        for kernels in kernel_sets():
            tested = load(find(args.model), kernels=kernels)
            errors[kernels] = self_test(tested)
            alike.setdefault(b"".join(tested.output(port.name).tobytes() for port in tested.outputs), []).append(kernels)
            out.line(f"golden outputs with {kernels} kernels: largest error {errors[kernels]:.2g}")
        half = load(find(args.model), precision="auto")
        if half.precision == "float16":
            errors["float16"] = self_test(half)
            out.line(f"golden outputs in float16 arithmetic: largest error {errors['float16']:.2g}")
        sets = list(alike.values())
        same = "the same bytes with all of them" if len(sets) == 1 else f"different bytes: {' | '.join(map(', '.join, sets))}"
        out.line(same)
    else:
        out.line("it carries no golden outputs")
    facts = {"golden": errors or None, "alike": list(alike.values())}
    out.data({"model": model.name, "sound": True, "checksums": True, **facts})
    return 0
