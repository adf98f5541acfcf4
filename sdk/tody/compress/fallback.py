"""Give way to float32 where int8 loses too much, with the fewest bits of the weights with which a model keeps what it finds.

Integers of 8 bits are a noise that gathers from layer to layer: a deep and narrow detector whose boxes are to stay within a
twentieth has no room for it, in whichever layers. Its weights need far fewer bits than 32 all the same.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..convert import verify
from ..convert.finish import finish
from ..convert.lower import lower
from ..run.model import load
from .floats import FEWEST, MOST, shorten
from .job import Job, report_of
from .made import Made
from .measure import Accuracy, measure
from .report import CompressReport, Point


def shortened(job: Job, bits: int, asked: Mapping[str, Any]) -> Made:
    """The model in float32 with weights of so many significant bits, in a coded file."""
    graph = job.graph.copy()
    shorten(graph, bits)
    feeds = verify.feeds(graph, job.facts.get("preprocess"))
    provenance = {"weights": bits, "arithmetic": "float32", **asked, **job.data.as_dict()}
    content = finish(lower(graph)[0], job.source, job.facts, feeds, {"compressed": provenance}, coded=True)
    return Made(content, arithmetic="float32")


def give_way(job: Job, tried: CompressReport, max_drop: float) -> CompressReport:
    """The report of what keeps the model's accuracy: int8 if it does, else the fewest bits in float32, else what was tried.

    Without labels each box has to stay, on the samples that calibrated as well: another bit costs little.

    Args:
        tried: the model in int8.
        max_drop: share of the metric that may be lost; in int8 so many boxes may move.
    """
    if tried.accuracy.is_kept(max_drop, moved=max_drop):
        return tried
    points = [_point("int8", tried.content, tried.accuracy)]
    for bits in range(FEWEST, MOST + 1):
        made = shortened(job, bits, {})
        accuracy = _measured(job, made, max_drop)
        points.append(_point(f"float32, {bits} significant bits", made.content, accuracy))
        if accuracy.is_kept(max_drop, moved=0.0):
            break
    if not accuracy.is_kept(max_drop, moved=1.0):
        return tried
    report = report_of(job, made, bits, {"coded": True})
    report.points = points
    report.notes.append(f"int8 {tried.loss}; float32 in its place, which --arithmetic int8 forbids")
    return report


def _measured(job: Job, made: Made, max_drop: float) -> Accuracy:
    """On the measuring samples, or on those that calibrated if these are not as good; labels are of the former alone."""
    after = load(made.content, threads=1)

    def tell(done: int, total: int) -> None:
        job.tell("measuring in float32", done, total)

    found = measure(job.before, after, job.data, job.metric, tell)
    if found.metric != "agreement" or job.data.shared or not found.is_kept(max_drop, moved=0.0):
        return found
    return measure(job.before, after, replace(job.data, measuring=job.data.calibration), found.metric, tell)


def _point(label: str, content: bytes, accuracy: Accuracy) -> Point:
    boxes = accuracy.agreement.boxes if accuracy.metric == "agreement" else None
    return Point(label, len(content), boxes.same if boxes else accuracy.after)
