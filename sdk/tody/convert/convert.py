"""Convert a model: import, optimise, plan, lower, check against the source, write."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import format as fmt
from .._runtime import Runtime
from ..errors import AccuracyError, UsageError
from . import verify
from .borders import integer_borders
from .facts import describe, target_path
from .finish import finish, run_once, try_decoder
from .graph import Graph
from .integers import to_needed_integers
from .lower import lower
from .memory import lower_into
from .noise import noise
from .optimise import optimise
from .report import ConvertReport, macs
from .simplify import count
from .source import Source, read_source
from .verify import Array, Difference, Feed, Limit

SEEDS = (1, 2)
SQUARE = 32  # equal elements in a row, for outputs that hardly move where every element is another


def convert(
    model: str | os.PathLike[str] | Any,
    output: str | os.PathLike[str] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    end: Sequence[str] = (),
    constants: Mapping[str, Array] | None = None,
    decoder: str | Mapping[str, Any] | None = "auto",
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: Mapping[str, Any] | str | None = "auto",
    score: float | None = None,
    iou: float | None = None,
    name: str | None = None,
    licence: str = "",
    coded: bool = False,
    io: str = "float32",
    ram: int | None = None,
    check: bool = True,
    tolerance: float | None = None,
    force: bool = False,
) -> ConvertReport:
    """Convert an ONNX or TFLite model to a `.tody` file.

    Args:
        model: path of an `.onnx` or `.tflite` file, or an onnx.ModelProto.
        output: where to write the file; None: nowhere, the report holds its bytes. Written only if everything went well.
        shapes: input name -> shape, for inputs whose size the model leaves open.
        end: names of tensors inside of the model that become its outputs; what only the others need is left out. Quantised
            ones of TFLite models become the float32 for which they stand.
        constants: input name -> value, for inputs that shall not be inputs any more.
        decoder: name of the decoder, its parameters (docs/format.md, key `decoder`), "auto" to find it by the outputs' shapes,
            or None.
        labels: names of the classes, or a text file with one a line; None: those that the source names, if it does.
        preprocess: docs/format.md, key `preprocess`; size, layout and input are filled in. "auto": what the decoder's models
            usually want, said in the report's notes. None: unknown.
        score, iou: default thresholds of detection, 0 to 1.
        name: of the model; the source's file name without its ending otherwise.
        licence: of the model.
        coded: store the file in fewer bytes, which are decoded when the model is loaded instead of being used where they lie.
        io: "int8": float32 inputs and outputs of a quantised model become int8 where a cast is all that stands between them
            and integers; the others are noted.
        ram: bytes of RAM that arena and scratch may take on a chip (`tody.memory`). To fit, a run may overwrite the inputs.
        check: compare with the source on seeded inputs.
        tolerance: largest difference allowed, relative to an output's range; None: 1e-4, more where the source itself computes
            in float16 or rounds activations as it runs (`Source.tolerance`), or four times what rounding does to the source
            itself (noise.py), or of a quantised model one step for 99 % of the elements (`verify.Limit`).
        force: keep a result that is outside the tolerance; the report says by how much.

    Raises:
        UsageError: an argument is wrong, or a shape is missing.
        ModelError: the source is damaged.
        UnsupportedError: the model needs what tody does not have; `nodes` lists all of it.
        MemoryLimitError: it needs more than `ram`; the error names the layers.
        AccuracyError: the result differs from its source by more than the tolerance.
    """
    if io not in ("float32", "int8"):
        raise UsageError(f"there is no io {io!r}", "known are float32, int8")
    source = read_source(model, end)
    target = target_path(output, model)
    graph = source.graph({k: tuple(v) for k, v in (shapes or {}).items()}, constants)
    facts = describe(
        source,
        graph,
        decoder=decoder,
        labels=labels,
        preprocess=preprocess,
        score=score,
        iou=iou,
        name=name,
        licence=licence,
    )
    limit = _limit(source, tolerance, graph.rounded)
    report = _compile(source, graph, facts, constants or {}, limit if check else None, coded, io, ram)
    _judge(report, limit, source.judge, force)
    if decoder != "auto":
        try_decoder(report.content, facts)
    if target is not None:
        report.save(target)
    return report


def _compile(
    source: Source,
    graph: Graph,
    facts: dict[str, Any],
    constants: Mapping[str, Array],
    limit: Limit | None,
    coded: bool,
    io: str,
    ram: int | None,
) -> ConvertReport:
    """Everything from the imported graph to the bytes of the file."""
    feeds = verify.feeds(graph, facts.get("preprocess"))
    optimise(graph)
    islands = to_needed_integers(graph)
    inner, steps, golden = graph.copy(), verify.steps(graph), feeds
    if io == "int8":
        facts = integer_borders(graph, facts)
        golden = verify.feeds(graph, facts.get("preprocess"))
    file, _ = lower_into(graph, ram)
    runtime = Runtime(fmt.write(file))
    names = [port["name"] for port in facts["outputs"]]
    # What casts at the borders would give is compared where there are none: the source takes and gives float32.
    checked_one = Runtime(fmt.write(lower(inner)[0])) if io == "int8" else runtime
    check = _Check(source, names, constants, checked_one, limit, steps) if limit else None
    differences, against = check.differences(feeds) if check else ([], "")
    worst = max((d.relative for d in differences), default=0.0)
    checked = {"against": against, "max_error": float(f"{worst:.3g}")} if against and np.isfinite(worst) else {}
    final = finish(file, source, facts, golden, {"checked": checked} if checked else {}, coded)
    return ConvertReport(
        name=facts["name"],
        source=source.file,
        inputs=facts["inputs"],
        outputs=facts["outputs"],
        ops_before=source.ops,
        ops_after=count(graph),
        macs=macs(graph),
        weight_bytes=len(file.weights),
        arena_bytes=file.arena_bytes,
        scratch_bytes=runtime.scratch_bytes,
        file_bytes=len(final),
        differences=differences,
        against=against,
        decoder=facts.get("decoder", {}).get("name", ""),
        islands=islands,
        notes=list(graph.notes),
        content=final,
    )


@dataclass(frozen=True)
class _Check:
    """Runs a source and what became of it side by side.

    Attributes:
        names: of the outputs.
        steps: of a quantised model (`verify.steps`), else None.
    """

    source: Source
    names: list[str]
    constants: Mapping[str, Array]
    runtime: Runtime
    limit: Limit
    steps: list[float | None] | None

    def differences(self, feeds: list[Feed]) -> tuple[list[Difference], str]:
        """The worst difference of each output over all seeds, and who computed the source's outputs."""
        worst: dict[str, Difference] = {}
        against, limit = "", self.limit
        for seed in SEEDS:
            found, against = self._compare({feed.name: feed.array(seed) for feed in feeds})
            if any(limit.is_noise(d) and not limit.allows(d) for d in found):
                again, _ = self._compare({feed.name: feed.array(seed, SQUARE) for feed in feeds})
                found = [b if limit.is_noise(a) else a for a, b in zip(found, again, strict=True)]
            for d in found:
                worst[d.name] = max(worst.get(d.name, d), d, key=lambda d: (not limit.allows(d), d.relative))
        return list(worst.values()), against

    def _compare(self, arrays: dict[str, Array]) -> tuple[list[Difference], str]:
        """The difference of each output for these inputs, with the source's own noise if that is needed to judge it."""
        expected, against = self.source.reference({**self.constants, **arrays}, self.names)
        results = run_once(self.runtime, list(arrays.values()))
        found = [verify.compare(*each) for each in zip(self.names, expected, results, strict=True)]
        if self.steps is not None:
            found = [verify.in_steps(*each) for each in zip(found, expected, results, self.steps, strict=True)]
        if self.limit.forgives_noise and not all(map(self.limit.allows, found)):
            moved = noise(self.source, {**self.constants, **arrays}, self.names, expected)
            found = [replace(d, noise=moved[d.name]) for d in found]
        return found, against


def _limit(source: Source, tolerance: float | None, is_rounded: bool) -> Limit:
    return Limit(source.tolerance, forgives_noise=True, forgives_steps=is_rounded) if tolerance is None else Limit(tolerance)


def _judge(report: ConvertReport, limit: Limit, judge: str, force: bool) -> None:
    for d in report.differences:
        if d.relative > limit.tolerance and limit.is_steps(d):
            report.notes.append(
                f"output {d.name}: {100 * (d.near or 0):.4g} % of its elements are within a step of the source's"
            )
        elif d.relative > limit.tolerance and limit.allows(d):
            moved = f"rounding alone moves the source's own output by {max(d.noise, verify.NOISE_FLOOR):.2g}"
            report.notes.append(f"output {d.name} differs by {d.relative:.2g} of its range here, {d.largest:.2g}; {moved}")
    bad = [d for d in report.differences if not limit.allows(d)]
    if not bad:
        return
    worst = max(bad, key=lambda d: d.relative)
    what = f"the converted model differs from its source by {worst.relative:.2g} of the range of output {worst.name}"
    outside = f"{len(bad)} of {len(report.differences)} outputs are outside it"
    why = f"{limit.tolerance:.2g} is allowed against {report.against}; {outside}"
    hint = "--tolerance allows more, --force keeps the result as it is; please report the model"
    if all(map(limit.is_noise, bad)):
        what = f"the conversion cannot be proved: with made-up inputs, output {worst.name} hardly moves"
        why = f"its values lie within {worst.span:.2g}, and rounding alone changes the source's own by {worst.noise:.2g}"
        hint = "say with --mean and --std what the inputs are like; --force keeps the result as it is"
    if not force:
        raise AccuracyError(what, why, hint if judge in report.against else f"pip install {judge} and try again; {hint}")
    report.notes.append(f"{what}: {why}; kept because it was forced")
