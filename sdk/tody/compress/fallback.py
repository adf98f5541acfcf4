"""Give way where int8 loses too much, with the fewest bits of the weights with which a model keeps what it finds.

Integers of 8 bits are a noise that gathers from layer to layer: a deep and narrow detector whose boxes are to stay within a
twentieth has no room for it, in whichever layers. Its weights need far fewer bits than 32 all the same: significant ones in
float32, or steps of each channel beside activations of 16 bits. These are smaller, and faster where a model is wide enough.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..convert import verify
from ..convert.finish import finish
from ..convert.lower import lower
from ..run.model import load
from .floats import FEWEST, MOST, shorten
from .integers import in_integers
from .job import Job, report_of
from .made import Made
from .measure import Accuracy, latency, measure
from .quantise import MORE, Settings
from .report import CompressReport, Point

SHORT = range(FEWEST, MOST + 1)  # significant bits in float32
WIDE = range(8, MORE + 1)  # bits of weights beside activations of 16


@dataclass(frozen=True)
class _Trial:
    """A model with weights of so many bits, and whether these are enough. It is not measured where they are more than serve."""

    bits: int
    made: Made
    accuracy: Accuracy | None
    enough: bool


def shortened(job: Job, bits: int, asked: Mapping[str, Any]) -> Made:
    """The model in float32 with weights of so many significant bits, in a coded file."""
    graph = job.graph.copy()
    shorten(graph, bits)
    feeds = verify.feeds(graph, job.facts.get("preprocess"))
    provenance = {"weights": bits, "arithmetic": "float32", **asked, **job.data.as_dict()}
    content = finish(lower(graph)[0], job.source, job.facts, feeds, {"compressed": provenance}, coded=True)
    return Made(content, arithmetic="float32")


def give_way(job: Job, tried: CompressReport, max_drop: float, effort: str = "normal") -> CompressReport:
    """The report of what keeps the model's accuracy: int8 if it does, else float32 or int16, else what was tried.

    Without labels each box has to stay, on the samples that calibrated as well: another bit costs little.

    Args:
        tried: the model in int8.
        max_drop: share of the metric that may be lost; in int8 so many boxes may move.
        effort: of `Settings`, in int16.
    """
    if tried.accuracy.is_kept(max_drop, moved=max_drop):
        return tried
    points = [_point("int8", tried.content, tried.accuracy)]

    def measured(bits: int, made: Made, label: str) -> _Trial:
        accuracy = _measured(job, made, max_drop)
        points.append(_point(label, made.content, accuracy))
        return _Trial(bits, made, accuracy, accuracy.is_kept(max_drop, moved=0.0))

    def in_short(bits: int) -> _Trial:
        return measured(bits, shortened(job, bits, {}), f"float32, {bits} significant bits")

    def in_wide(bits: int) -> _Trial:
        made = in_integers(job, Settings(bits, effort=effort, activations=16), {}, coded=True)
        if len(made.content) >= len(short.made.content):
            return _Trial(bits, made, None, True)
        return measured(bits, made, f"int16, weights of {bits} bits")

    short = _fewest(SHORT, in_short)
    if short.accuracy is None or not short.accuracy.is_kept(max_drop, moved=0.0 if short.enough else 1.0):
        return tried
    found = _better(short, _fewest(WIDE, in_wide))
    report = report_of(job, found.made, found.bits, {"coded": True})
    report.points = points
    report.notes.append(f"int8 {tried.loss}; {found.made.arithmetic} in its place, which --arithmetic int8 forbids")
    return report


def _fewest(bits: range, attempt: Callable[[int], _Trial]) -> _Trial:
    """What has enough bits with the fewest; if none has, the most bits.

    One after the other: where a box is near the threshold, more bits may lose what fewer keep.
    """
    for each in bits:
        trial = attempt(each)
        if trial.enough:
            break
    return trial


def _better(short: _Trial, wide: _Trial) -> _Trial:
    """The smaller and faster one: of the smaller product of size and time, as measured here."""
    if wide.accuracy is None or not wide.enough:
        return short
    sizes = [len(trial.made.content) for trial in (short, wide)]
    times = latency([load(trial.made.content, threads=1) for trial in (short, wide)])
    return wide if sizes[1] * times[1] < sizes[0] * times[0] else short


def _measured(job: Job, made: Made, max_drop: float) -> Accuracy:
    """On the measuring samples, or on those that calibrated if these are not as good; labels are of the former alone."""
    after = load(made.content, threads=1)

    def tell(done: int, total: int) -> None:
        job.tell("measuring", done, total)

    found = measure(job.before, after, job.data, job.metric, tell)
    if found.metric != "agreement" or job.data.shared or not found.is_kept(max_drop, moved=0.0):
        return found
    return measure(job.before, after, replace(job.data, measuring=job.data.calibration), found.metric, tell)


def _point(label: str, content: bytes, accuracy: Accuracy) -> Point:
    boxes = accuracy.agreement.boxes if accuracy.metric == "agreement" else None
    return Point(label, len(content), boxes.same if boxes else accuracy.after)
