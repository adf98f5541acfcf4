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

    report = check(args.model, shapes=shapes(args), constants=dict(args.bind))
    out.data(report.as_dict())
    out.line(str(report))
    if not report.supported:
        return UnsupportedError.exit_code
    out.note(f"next: tody convert {shlex.quote(args.model)} -o {shlex.quote(report.name + '.tody')}")
    return 0


def _check_model(args: argparse.Namespace, out: Output) -> int:
    """Structure, checksums, and the golden outputs with every kernel set that this CPU can run."""
    from .._runtime import kernel_sets
    from ..models import find
    from ..run.model import load

    model = open_model(args, verify=True)
    out.line(f"{model.name}: sound, checksums match")
    errors = {}
    if model.meta.get("golden"):
        for kernels in kernel_sets():
            errors[kernels] = load(find(args.model), kernels=kernels).self_test()
            out.line(f"golden outputs with {kernels} kernels: largest error {errors[kernels]:.2g}")
    else:
        out.line("it carries no golden outputs")
    out.data({"model": model.name, "sound": True, "checksums": True, "golden": errors or None})
    return 0
