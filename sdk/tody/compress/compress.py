"""Compress a model: import, optimise, quantise, check against the float model, judge, write."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import format as fmt
from ..convert.facts import describe, target_path
from ..convert.finish import try_decoder
from ..convert.graph import Graph
from ..convert.integers import to_needed_integers
from ..convert.memory import lower_into, refuse_early
from ..convert.source import read_source
from . import place, search, sensitivity, timing
from .data import SAMPLES
from .fallback import SEARCHED, give_way, shortened, with_fewest_bits
from .halves import halve
from .integers import in_integers
from .job import Job, prepare, report_of
from .made import Made
from .options import HALF, Wanted
from .prune import prune as remove_channels
from .quantise import Report, Settings, quantise
from .report import CompressReport, smallest

PROVENANCE = 200  # bytes, about: what the metadata says of a compression, coded
PRUNE_SAMPLES = 32  # to see which channels the others can stand in for


def compress(
    model: str | os.PathLike[str] | Any,
    data: str | os.PathLike[str] | Iterable[Any],
    output: str | os.PathLike[str] | None = None,
    *,
    weights: int | Sequence[int] | None = None,
    arithmetic: str = "auto",
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
    target_size: float | None = None,
    latency: float | None = None,
    ram: int | None = None,
    like: str | os.PathLike[str] | Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    end: Sequence[str] = (),
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
            file that computes in float32. Several: each is tried, in a coded file, and the smallest is kept that loses no more
            than `max_drop` allows; `CompressReport.points` has all of them. None: 8; in "int16" or "float32" as few as keep
            what the float model finds, in a coded file (`fallback.py`), unless channels are pruned.
        arithmetic: "int8"; "int16": activations of 16 bits, which take twice the memory, and weights of up to 15, stored in
            16; "float32": a coded file that computes in float32, with weights of so many significant bits; "auto":
            int8, and where that loses more than `max_drop` allows, or moves boxes that have no labels to tell whether it
            matters, float32 or int16 with the fewest bits that do not, whichever is smaller and faster (`fallback.py`). What is
            asked for besides, such as fewer bits or `force`, keeps int8.
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
        target_size: bytes that the coded file may have, or below 1 as a share of the float32 file: each layer gets as many
            bits, of `weights` at most, as lose least (`search.py`).
        latency: milliseconds that a run may take on this machine with one thread: what int8 leaves of it is spent on layers
            that are more exact in float32, as measured here (`timing.py`).
        ram: bytes of RAM that arena and scratch may take on a chip, as for `tody.convert`.
        like: an earlier model of the same structure, in float as `model` is: its ranges, factors, steps and rounding are used
            again, so that devices which have it, compressed with the same data and arguments, need few bytes for this one.
        shapes, end, constants, decoder, labels, preprocess, score, iou, name, licence: as for `tody.convert`.
        progress: called with what is being done, how much of it, and of how much.

    Raises:
        UsageError: an argument is wrong, or the data does not fit the model or cannot be read.
        ModelError: the source is damaged, or computes values that are not numbers.
        UnsupportedError: the model needs what tody does not have; `nodes` lists all of it.
        AccuracyError: more was lost than `max_drop` allows. Nothing is written.
        MemoryLimitError: the model cannot be made as small as `target_size`, as quick as `latency`, or needs more than `ram`.
    """
    given = 8 if weights is None else weights
    widths = [given] if isinstance(given, int) else list(dict.fromkeys(given))
    searched = weights is None and arithmetic in SEARCHED and not prune
    coded = coded or len(widths) > 1 or searched
    wanted = Wanted(arithmetic, method, effort, io, prune, sparsity, coded, target_size, latency, like is not None, ram)
    wanted.check(widths, metric, max_drop)
    target = target_path(output, model)
    source = read_source(model, end)
    fixed = {k: tuple(v) for k, v in (shapes or {}).items()}
    graph = source.graph(fixed, constants)
    earlier = None if like is None else read_source(like, end).graph(fixed, constants)
    told: dict[str, Any] = {"labels": labels, "preprocess": preprocess, "score": score, "iou": iou}
    facts = describe(source, graph, decoder=decoder, name=name, licence=licence, **told)
    job = prepare(source, graph, facts, data, samples, metric, progress or (lambda what, done, total: None))
    wanted = wanted.sized(job.before.file_bytes)
    if prune:
        job.notes += _prune(job, prune)
    refuse_early(job.graph, ram)
    if searched:
        report = with_fewest_bits(job, arithmetic, max_drop, effort, wanted.as_dict() if arithmetic == "int16" else {})
    else:
        tried = [_compressed(job, bits, wanted, earlier) for bits in widths]
        report = tried[0] if len(tried) == 1 else smallest(tried, max_drop)
    if arithmetic == "auto" and widths == [8] and not (prune or wanted.of_integers or force):
        report = give_way(job, report, max_drop, effort)
    report.judge(max_drop, force)
    if decoder != "auto":
        try_decoder(report.content, facts)
    if target is not None:
        report.save(target)
    return report


def _compressed(job: Job, bits: int, wanted: Wanted, earlier: Graph | None) -> CompressReport:
    """The model with weights of so many bits, measured."""
    asked: dict[str, Any] = {"prune": wanted.prune}
    if bits == HALF:
        made = _halve(job, {"weights": bits, **asked, **job.data.as_dict()})
    elif wanted.arithmetic == "float32":
        made = shortened(job, bits, asked, wanted.effort)
    else:
        asked = wanted.as_dict()
        settings = Settings(bits, wanted.method, wanted.effort, wanted.io == "int8", sparsity=wanted.sparsity)
        settings = replace(settings, activations=16 if wanted.arithmetic == "int16" else 8)
        if wanted.latency is not None:
            settings = replace(settings, spare=_time_to_spare(job, settings, wanted.latency))
        if wanted.target_size is not None:
            settings = replace(settings, wanted=_bits_for_size(job, settings, int(wanted.target_size)))
        made = in_integers(job, settings, asked, wanted.is_coded, earlier)
    wanted.check_size(made.content)
    return report_of(job, made, bits, {**asked, "coded": wanted.is_coded or made.arithmetic == "float32"})


def _prune(job: Job, fraction: float) -> list[str]:
    """Remove channels; returns what is worth a note."""
    some = job.data.calibration[:PRUNE_SAMPLES]
    done = remove_channels(job.graph, fraction, some)
    kept = [f"{len(done.kept)} layers kept all their channels"] if done.kept else []
    return [f"{100 * done.fraction:.1f} % of the multiply-adds were pruned, in {len(done.layers)} layers", *kept]


def _bits_for_size(job: Job, settings: Settings, target: int) -> dict[str, int]:
    """How many bits each layer gets in a coded file of at most `target` bytes."""
    some = job.data.calibration[: sensitivity.SAMPLES]
    graph = job.graph.copy()
    place.prepare(graph, settings.io_is_integer)
    bits = [b for b in search.BITS if b <= settings.bits] or [settings.bits]
    layers = sensitivity.of_layers(graph, some, bits, lambda done, total: job.tell("searching", done, total))

    known = job.study(settings.io_is_integer)

    def size_of(wanted: dict[str, int]) -> int:
        quick = replace(settings, effort="fast", wanted=wanted)
        made = quantise(job.graph, some, quick, known=known).graph
        to_needed_integers(made)
        file, _ = lower_into(made)
        file.meta, file.blob = job.before.meta, job.before.blob  # of the same names, and as many golden values
        return len(fmt.write(file, coded=True)) + PROVENANCE

    return search.bits_for_size(layers, target, size_of)


def _time_to_spare(job: Job, settings: Settings, latency: float) -> timing.Spare:
    """What int8 leaves of the time that a run may take."""
    quick = replace(settings, effort="fast", goal=-math.inf)
    made = quantise(job.graph, job.data.calibration[: sensitivity.SAMPLES], quick, known=job.study(settings.io_is_integer))
    to_needed_integers(made.graph)
    return timing.spare(made.reference, made.graph, latency)


def _halve(job: Job, provenance: Mapping[str, Any]) -> Made:
    """The model in float32 with weights that fit into float16."""
    content, notes = halve(job.graph, job.source, job.facts, provenance)
    return Made(content, notes=notes, arithmetic="float32")
