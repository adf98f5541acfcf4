"""Compress a model: import, optimise, quantise, check against the float model, judge, write."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import format as fmt
from ..convert import verify
from ..convert.facts import describe, target_path
from ..convert.finish import finish, try_decoder
from ..convert.graph import Graph
from ..convert.integers import to_integers
from ..convert.lower import lower
from ..convert.optimise import optimise
from ..convert.rewrite import first_output
from ..convert.source import Source, read_source
from ..convert.sparse import sparse_weights
from ..errors import MemoryLimitError, UsageError
from ..run.model import Model, load
from . import place, ranges, search, sensitivity, timing
from .borders import integer_borders
from .data import SAMPLES, read_data
from .halves import halve
from .like import check_alike, follow
from .measure import METRICS, choose_metric, cost, latency, measure
from .place import LINEAR
from .prune import MOST
from .prune import prune as remove_channels
from .quantise import STAGES, Quantised, Report, Settings, quantise, sqnr
from .report import BINS, CompressReport, Island, Layer
from .samples import Data

IO = ("float32", "int8")
SPARSEST = 0.9  # share of the weights that may become zero
HALF = 16  # bits: weights that are not integers
PROVENANCE = 400  # bytes, about: what the metadata says of a compression
PRUNE_SAMPLES = 32  # to see which channels the others can stand in for


def compress(
    model: str | os.PathLike[str] | Any,
    data: str | os.PathLike[str] | Iterable[Any],
    output: str | os.PathLike[str] | None = None,
    *,
    weights: int = 8,
    max_drop: float = 0.01,
    force: bool = False,
    metric: str = "auto",
    method: str = "auto",
    effort: str = "normal",
    samples: int = SAMPLES,
    io: str = "float32",
    prune: float = 0.0,
    sparsity: float = 0.0,
    coded: bool = False,
    target_size: int | None = None,
    latency: float | None = None,
    like: str | os.PathLike[str] | Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, np.typing.NDArray[Any]] | None = None,
    decoder: str | Mapping[str, Any] | None = "auto",
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: Mapping[str, Any] | str | None = "auto",
    score: float | None = None,
    iou: float | None = None,
    name: str | None = None,
    licence: str = "",
    progress: Report | None = None,
) -> CompressReport:
    """Compress a model to int8 and measure what that costs.

    Args:
        model: path of an `.onnx` or `.tflite` file, or an onnx.ModelProto, in float.
        data: pictures or inputs to calibrate and to measure with, as `read_data` takes them.
        output: where to write the file; None: nowhere, the report holds its bytes. Written only if everything went well.
        weights: bits of the weights, 2 to 8: up to 6 as a palette of few levels for each layer. 16: half floats, in a coded
            file that computes in float32.
        max_drop: largest loss allowed, of the metric, 0 to 1 (`Accuracy.allowed`).
        force: keep a result that lost more; the report says so.
        metric: "map", "top1", "agreement", or "auto" for what the data has labels for.
        method: how ranges are chosen: "auto", "minmax", "percentile", "mse" or "kl" (`ranges.choose`).
        effort: "fast", "normal" or "best" (`Settings`).
        samples: how many to calibrate with, at most.
        io: dtype of the model's float inputs and outputs in the file. "int8": of those that integers are made of, or that are
            made of integers; the others are noted.
        prune: share of the multiply-adds that goes with whole channels, 0 to 0.9 (`prune.py`); training afterwards helps.
        sparsity: share of the blocks of 1x4 weights that become zero, 0 to 0.9, in each layer that is faster without them
            (`convert/sparse.py`); from 0.5 on that pays in time.
        coded: store the file coded: smaller, but decoded into memory when it is opened instead of being used where it lies.
        target_size: bytes that the coded file may have: each layer gets as many bits, of `weights` at most, as lose least
            (`search.py`).
        latency: milliseconds that a run may take on this machine with one thread: what int8 leaves of it is spent on layers
            that are more exact in float32, as measured here (`timing.py`).
        like: an earlier model of the same structure, in float as `model` is: its ranges, factors, steps and rounding are used
            again, so that devices which have it, compressed with the same data and arguments, need few bytes for this one.
        shapes, constants, decoder, labels, preprocess, score, iou, name, licence: as for `tody.convert`.
        progress: called with what is being done, how much of it, and of how much.

    Raises:
        UsageError: an argument is wrong, or the data does not fit the model or cannot be read.
        ModelError: the source is damaged, or computes values that are not numbers.
        UnsupportedError: the model needs what tody does not have; `nodes` lists all of it.
        AccuracyError: more was lost than `max_drop` allows. Nothing is written.
        MemoryLimitError: the model cannot be made as small as `target_size`, or as quick as `latency`.
    """
    _check_sparsity(sparsity, weights)
    _check(weights, max_drop, prune, target_size, latency, metric=metric, method=method, effort=effort, io=io)
    if like is not None:
        _check_like(weights, prune, sparsity, target_size, latency)
    target = target_path(output, model)
    source = read_source(model)
    fixed = {k: tuple(v) for k, v in (shapes or {}).items()}
    graph = source.graph(fixed, constants)
    earlier = None if like is None else read_source(like).graph(fixed, constants)
    told: dict[str, Any] = {"labels": labels, "preprocess": preprocess, "score": score, "iou": iou}
    facts = describe(source, graph, decoder=decoder, name=name, licence=licence, **told)
    job = _prepare(source, graph, facts, data, samples, metric, progress or (lambda what, done, total: None))
    if prune:
        job.notes += _prune(job, prune)
    if weights == HALF:
        options: dict[str, Any] = {"prune": prune}
        made = _halve(job, {"weights": weights, **options, **job.data.as_dict()})
    else:
        options = {"method": method, "effort": effort, "io": io, "prune": prune}
        if sparsity:
            options["sparsity"] = sparsity
        settings = Settings(weights, method, effort, io == "int8", sparsity=sparsity)
        if target_size is not None:
            options["target_size"], coded = target_size, True
            settings = replace(settings, wanted=_bits_for_size(job, settings, target_size))
        if latency is not None:
            options["latency"] = latency
            settings = replace(settings, spare=_time_to_spare(job, settings, latency))
        made = _quantise(job, settings, options, coded, earlier)
    _check_size(made.content, target_size)
    report = _report(job, made, weights, {**options, "coded": coded or weights == HALF})
    report.judge(max_drop, force)
    if decoder != "auto":
        try_decoder(report.content, facts)
    if target is not None:
        report.save(target)
    return report


@dataclass
class _Job:
    """A float model that is about to be compressed.

    Attributes:
        graph: optimised.
        facts: of `describe`.
        data: to calibrate and to measure with.
        metric: that is measured.
        before: the float model.
        tell: takes progress.
        notes: for the report.
    """

    source: Source
    graph: Graph
    facts: dict[str, Any]
    data: Data
    metric: str
    before: Model
    tell: Report
    notes: list[str]


@dataclass
class _Made:
    """A compressed model: the file's bytes, and what the report says of it."""

    content: bytes
    layers: list[Layer] = field(default_factory=list)
    islands: list[Island] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _prepare(source: Source, graph: Graph, facts: dict[str, Any], data: Any, samples: int, metric: str, tell: Report) -> _Job:
    """Read the data, choose the metric, optimise the graph, and compile the float model."""
    found = read_data(
        data,
        facts["inputs"],
        facts.get("preprocess"),
        samples=samples,
        progress=lambda done, total: tell("reading data", done, total),
    )
    metric = choose_metric(facts, found, metric)
    feeds = verify.feeds(graph, facts.get("preprocess"))
    optimise(graph)
    _check_source(graph, facts["name"])
    before = load(finish(lower(graph.copy())[0], source, facts, feeds), threads=1)
    return _Job(source, graph, facts, found, metric, before, tell, [*graph.notes, *found.notes])


def _prune(job: _Job, fraction: float) -> list[str]:
    """Remove channels; returns what is worth a note."""
    some = job.data.calibration[:PRUNE_SAMPLES]
    done = remove_channels(job.graph, fraction, some)
    kept = [f"{len(done.kept)} layers kept all their channels"] if done.kept else []
    return [f"{100 * done.fraction:.1f} % of the multiply-adds were pruned, in {len(done.layers)} layers", *kept]


def _quantise(job: _Job, settings: Settings, options: Mapping[str, Any], coded: bool, earlier: Graph | None = None) -> _Made:
    """The model in int8, in the steps of an earlier one if there is one."""
    if earlier is None:
        made = quantise(job.graph, job.data.calibration, settings, job.tell)
    else:
        optimise(earlier)
        check_alike(earlier, job.graph)
        made = quantise(earlier, job.data.calibration, settings, job.tell)
        follow(made, job.graph, settings.io_is_integer)
        made.sqnr_db = sqnr(made, job.data.calibration)
    graph, facts = made.graph.copy(), job.facts
    graph.notes = []
    refused = to_integers(graph)
    if settings.io_is_integer:
        facts = integer_borders(graph, facts)
    feeds = verify.feeds(graph, facts.get("preprocess"))
    provenance = {"weights": settings.bits, **options, **job.data.as_dict()}
    content = finish(lower(graph)[0], job.source, facts, feeds, {"compressed": provenance}, coded)
    if sparse := len(sparse_weights(graph)):
        graph.notes.append(f"{sparse} layers store only the blocks of weights that are not zero")
    return _Made(content, layers_of(made), islands_of(graph, made, refused), graph.notes)


def _bits_for_size(job: _Job, settings: Settings, target: int) -> dict[str, int]:
    """How many bits each layer gets in a coded file of at most `target` bytes."""
    some = job.data.calibration[: sensitivity.SAMPLES]
    graph = job.graph.copy()
    place.prepare(graph, settings.io_is_integer)
    bits = [b for b in search.BITS if b <= settings.bits] or [settings.bits]
    layers = sensitivity.of_layers(graph, some, bits, lambda done, total: job.tell("searching", done, total))

    def size_of(wanted: dict[str, int]) -> int:
        quick = replace(settings, effort="fast", wanted=wanted)
        made = quantise(job.graph.copy(), some, quick).graph
        to_integers(made)
        file, _ = lower(made)
        file.meta, file.blob = job.before.meta, job.before.blob  # of the same names, and as many golden values
        return len(fmt.write(file, coded=True)) + PROVENANCE

    return search.bits_for_size(layers, target, size_of)


def _time_to_spare(job: _Job, settings: Settings, latency: float) -> timing.Spare:
    """What int8 leaves of the time that a run may take."""
    quick = replace(settings, effort="fast", goal=-math.inf)
    made = quantise(job.graph.copy(), job.data.calibration[: sensitivity.SAMPLES], quick)
    to_integers(made.graph)
    return timing.spare(made.reference, made.graph, latency)


def _halve(job: _Job, provenance: Mapping[str, Any]) -> _Made:
    """The model in float32 with weights that fit into float16."""
    content, notes = halve(job.graph, job.source, job.facts, provenance)
    return _Made(content, notes=notes)


def _report(job: _Job, made: _Made, weights: int, options: dict[str, Any]) -> CompressReport:
    """Measure the compressed model beside the float one."""
    after = load(made.content, threads=1)
    accuracy = measure(job.before, after, job.data, job.metric, lambda done, total: job.tell("measuring", done, total))
    times = latency([job.before, after])
    return CompressReport(
        name=job.facts["name"],
        source=job.source.file,
        weights=weights,
        options=options,
        data=job.data.as_dict(),
        before=cost(job.before, times[0]),
        after=cost(after, times[1]),
        accuracy=accuracy,
        layers=made.layers,
        islands=made.islands,
        decoder=job.facts.get("decoder", {}).get("name", ""),
        notes=[*job.notes, *made.notes],
        content=made.content,
    )


def _check_sparsity(sparsity: float, weights: int) -> None:
    if not 0 <= sparsity <= SPARSEST:
        raise UsageError(f"sparsity is {sparsity}", "it is the share of the weights that become zero", f"0 to {SPARSEST}")
    if weights == HALF and sparsity:
        raise UsageError("half floats have no blocks to leave out", "weights is 16", "weights=8")


def _check(weights: int, max_drop: float, prune: float, target_size: int | None, latency: float | None, **chosen: str) -> None:
    known = {"metric": METRICS, "method": ranges.METHODS, "effort": tuple(STAGES), "io": IO}
    for key, value in chosen.items():
        if value not in known[key]:
            raise UsageError(f"there is no {key} {value!r}", f"known are {', '.join(known[key])}")
    if weights not in (*range(2, 9), HALF):
        raise UsageError(f"weights cannot have {weights} bits", "", "2 to 8, or 16 for half floats and no integers")
    if weights == HALF and chosen["io"] == "int8":
        raise UsageError("half floats have no integers at their borders", "weights is 16", "io='float32', or weights=8")
    if weights == HALF and (target_size, latency) != (None, None):
        raise UsageError("half floats leave nothing to choose", "target_size or latency is given", "weights=8, and it chooses")
    if latency is not None and not 0 < latency < math.inf:
        raise UsageError(f"latency is {latency}", "", "milliseconds that a run may take")
    if target_size is not None and target_size < 1:
        raise UsageError(f"target_size is {target_size}", "", "bytes that the file may have")
    if not 0 <= prune <= MOST:
        raise UsageError(f"prune is {prune}", "it is the share of the work that goes", f"0 to {MOST}")
    if not 0 <= max_drop <= 1:
        raise UsageError(f"max_drop is {max_drop}", "it is a share of the metric", "0 to 1: 0.01 is one point")


def _check_like(weights: int, prune: float, sparsity: float, target_size: int | None, latency: float | None) -> None:
    if weights not in (7, 8) or prune or sparsity or (target_size, latency) != (None, None):
        why = "palettes, channels, blocks and bits are chosen anew for every model"
        raise UsageError("like goes with plain int8 only", why, "leave out --weights, --prune and the like, or --like")


def _check_size(content: bytes, target: int | None) -> None:
    if target is not None and len(content) > target:
        why = f"it has {len(content):,} bytes: rounding with care changed how well the weights are coded"
        raise MemoryLimitError(f"the file missed {target:,} bytes", why, "ask for a little less, or --prune as well")


def _check_source(graph: Graph, name: str) -> None:
    if any(value.quant for value in graph.values.values()):
        hint = "tody convert takes it as it is; to compress, give the float model that it was made of"
        raise UsageError(f"{name} is quantised already", "its integers would be rounded twice", hint)
    if any(0 in value.shape for name, value in graph.values.items() if name in graph.inputs):
        raise UsageError(f"{name} has an input without elements", "there is nothing to calibrate with")


def islands_of(graph: Graph, made: Quantised, refused: Sequence[str]) -> list[Island]:
    """The operators that compute with real numbers, but for those that only stand between others."""
    found = []
    for node in graph.nodes:
        y = first_output(node)
        real = any(n is not None and graph.values[n].dtype == "float32" for n in (*node.inputs[:1], y))
        reason = made.reasons.get(y, "its integers would not fit" if y in made.integer else "")
        if real and reason and node.op not in ("cast", "reshape"):
            found.append(Island(node.source or y, node.op, reason))
    return found


def layers_of(made: Quantised) -> list[Layer]:
    """What became of every operator of the float graph that computes something."""
    found = []
    for node in made.reference.nodes:
        y = first_output(node)
        if node.op == "reshape" or y not in made.spreads:
            continue
        bits = made.bits.get(y, 8 if y in made.integer else 32)
        kept = made.choice.ranges.get(y) if y in made.integer else None
        seen, low, high = made.spreads[y].histogram(BINS)
        weights = made.reference.values[node.inputs[1] or ""].data if node.op in LINEAR else None
        counts, edges = np.histogram([] if weights is None else weights, BINS)
        found.append(
            Layer(
                name=y,
                op=node.op,
                bits=bits,
                sqnr_db=made.sqnr_db.get(y),
                low=None if kept is None else kept.low,
                high=None if kept is None else kept.high,
                method="" if kept is None else kept.method,
                seen=seen,
                seen_low=low,
                seen_high=high,
                weights=counts.tolist() if weights is not None else (),
                weights_low=float(edges[0]),
                weights_high=float(edges[-1]),
            )
        )
    return found
