"""tody run: one inference on arrays."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_model, add_on, add_runtime, on_device, open_device, open_model
from .output import Output, table

if TYPE_CHECKING:
    from ..run.model import Model

NAME = "run"
HELP = "run a model on arrays"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--input", action="append", default=[], metavar="[NAME=]FILE.npy", help="an input; those not given are random (seed 1)"
    )
    parser.add_argument("--output", metavar="FOLDER", help="write every output as NAME.npy")
    add_on(parser)
    add_runtime(parser)


def _inputs(model: Model, given: list[str]) -> dict[str, Any]:
    """An array for every input, from a file or from the generator of golden inputs."""
    import numpy as np

    from ..errors import UsageError
    from ..golden import splitmix64

    arrays = {p.name: splitmix64(1, p.shape, 0.0, 1.0, p.dtype) for p in model.inputs}
    for text in given:
        name, _, file = text.rpartition("=")
        name = name or model.inputs[0].name
        if name not in arrays:
            raise UsageError(
                f"the model has no input {name!r}", "it has " + "; ".join(map(str, model.inputs)), f"tody info {model.name}"
            )
        try:
            arrays[name] = np.load(file, allow_pickle=False)
        except OSError as e:
            raise UsageError(f"{file} cannot be read", e.strerror or str(e), "check the path") from e
        except (ValueError, EOFError) as e:
            raise UsageError(f"{file} cannot be read", "it is not an array as .npy file", "numpy.save writes such files") from e
    return arrays


def _run(model: Model, args: argparse.Namespace, out: Output) -> tuple[Any, float]:
    """What the model gives, here or on a device, and the milliseconds that it took there."""
    inputs = _inputs(model, args.input)
    if args.on:
        with open_device(args, model) as device:
            out.line(on_device(model, device))
            return device.run(model, inputs), device.last_run_us / 1e3
    out.line(model.describe())
    start = time.perf_counter()
    result = model(inputs)
    return result, (time.perf_counter() - start) * 1e3


def run(args: argparse.Namespace, out: Output) -> int:
    import numpy as np

    model = open_model(args)
    result, ms = _run(model, args, out)
    outputs: dict[str, Any] = result if isinstance(result, dict) else {model.outputs[0].name: result}
    if args.output:
        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in outputs.items():
            np.save(folder / (re.sub(r"[^\w.-]", "_", name) + ".npy"), array)
    rows, facts = [], []
    for name, array in outputs.items():
        low, high, mean = (float(f(array)) if array.size else 0.0 for f in (np.min, np.max, np.mean))
        rows.append((name, array.dtype, "x".join(map(str, array.shape)), f"{low:.5g}", f"{high:.5g}", f"{mean:.5g}"))
        facts.append(
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "min": low, "max": high, "mean": mean}
        )
    for line in table(("OUTPUT", "DTYPE", "SHAPE", "MIN", "MAX", "MEAN"), rows):
        out.line(line)
    out.line(f"{ms:.2f} ms" + (f", outputs in {args.output}" if args.output else ""))
    out.data({"model": model.name, "ms": ms, "outputs": facts})
    return 0
