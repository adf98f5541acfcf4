"""Give way where int8 loses too much: to int16, else to float32 with the fewest bits with which a model keeps what it finds.

Integers of 8 bits are a noise that gathers from layer to layer: a deep and narrow detector whose boxes are to stay within a
twentieth has no room for it, in whichever layers. Activations of 16 bits have. Its weights need far fewer bits than 32 in
either arithmetic.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..convert import verify
from ..convert.finish import finish
from ..convert.lower import lower
from ..run.model import load
from .floats import FEWEST, MOST, shorten
from .integers import in_integers
from .job import Job, report_of
from .made import Made
from .measure import Accuracy, measure
from .quantise import Settings, suits
from .report import CompressReport, Point

INT16_BITS = (10, 12)  # of the weights: with fewer, faces move; more hardly help


def shortened(job: Job, bits: int, asked: Mapping[str, Any]) -> Made:
    """The model in float32 with weights of so many significant bits, in a coded file."""
    graph = job.graph.copy()
    shorten(graph, bits)
    feeds = verify.feeds(graph, job.facts.get("preprocess"))
    provenance = {"weights": bits, "arithmetic": "float32", **asked, **job.data.as_dict()}
    content = finish(lower(graph)[0], job.source, job.facts, feeds, {"compressed": provenance}, coded=True)
    return Made(content, arithmetic="float32")


def give_way(job: Job, tried: CompressReport, max_drop: float) -> CompressReport:
    """The report of what keeps the model's accuracy: int8 if it does, else the first of `_wider`, else what was tried.

    Without labels each box has to stay, on the samples that calibrated as well: another bit costs little.

    Args:
        tried: the model in int8.
        max_drop: share of the metric that may be lost; in int8 so many boxes may move.
    """
    if tried.accuracy.is_kept(max_drop, moved=max_drop):
        return tried
    points = [_point("int8", tried.content, tried.accuracy)]
    for label, bits, made in _wider(job):
        weights, accuracy = bits, _measured(job, made, max_drop)
        points.append(_point(label, made.content, accuracy))
        if accuracy.is_kept(max_drop, moved=0.0):
            break
    if not accuracy.is_kept(max_drop, moved=1.0):
        return tried
    report = report_of(job, made, weights, {"coded": True})
    report.points = points
    report.notes.append(f"int8 {tried.loss}; {made.arithmetic} in its place, which --arithmetic int8 forbids")
    return report


def _wider(job: Job) -> Iterator[tuple[str, int, Made]]:
    """What is more exact than int8, as label, bits of the weights, and the model: int16 where it suits, then float32."""
    for bits in INT16_BITS if suits(job.graph) else ():
        settings = Settings(bits, activations=16)
        yield f"int16, weights of {bits} bits", bits, in_integers(job, settings, {}, coded=True)
    for bits in range(FEWEST, MOST + 1):
        yield f"float32, {bits} significant bits", bits, shortened(job, bits, {})


def _measured(job: Job, made: Made, max_drop: float) -> Accuracy:
    """On the measuring samples, or on those that calibrated if these are not as good; labels are of the former alone."""
    after = load(made.content, threads=1)

    def tell(done: int, total: int) -> None:
        job.tell("measuring what is wider", done, total)

    found = measure(job.before, after, job.data, job.metric, tell)
    if found.metric != "agreement" or job.data.shared or not found.is_kept(max_drop, moved=0.0):
        return found
    return measure(job.before, after, replace(job.data, measuring=job.data.calibration), found.metric, tell)


def _point(label: str, content: bytes, accuracy: Accuracy) -> Point:
    boxes = accuracy.agreement.boxes if accuracy.metric == "agreement" else None
    return Point(label, len(content), boxes.same if boxes else accuracy.after)
