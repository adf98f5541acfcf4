"""Give way where int8 loses too much, with the fewest bits of the weights with which a model keeps what it finds.

Integers of 8 bits are a noise that gathers from layer to layer: a deep and narrow detector whose boxes are to stay within a
twentieth has no room for it, in whichever layers. Its weights need far fewer bits than 32 all the same: significant ones in
float32, or steps of each channel beside activations of 16 bits. These are smaller, and faster where a model is wide enough.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..convert import verify
from ..convert.finish import finish
from ..convert.memory import lower_into
from ..run.model import load
from .floats import FEWEST, MOST, shorten
from .integers import in_integers
from .job import Job, report_of
from .made import Made
from .measure import Accuracy, latency
from .quantise import Settings
from .report import CompressReport, Point
from .stages import STAGES

SHORT = range(FEWEST, MOST + 1)  # significant bits in float32
WIDE = range(8, 16)  # bits of weights beside activations of 16
DOUBT = 1 / 3  # of max_drop: share of the boxes that may be expected to change sides of the threshold in other pictures
STUCK = 0.8  # of the noise that one bit less made: what is left above that is not of the weights
SEARCHED = ("int16", "float32")  # arithmetic whose bits are searched for where nobody names them


@dataclass(frozen=True)
class _Trial:
    """A model with weights of so many bits, what it keeps, 0 to 1, and whether that is enough."""

    bits: int
    made: Made
    accuracy: Accuracy
    kept: float
    enough: bool

    @property
    def doubt(self) -> float:
        """Of the boxes, if there are any."""
        boxes = self.accuracy.agreement.boxes
        return boxes.doubt if boxes else 0.0


def shortened(job: Job, bits: int, asked: Mapping[str, Any], effort: str = "normal") -> Made:
    """The model in float32 with weights of so many significant bits, in a coded file.

    Args:
        effort: of `Settings`; "fast" rounds each number by itself.
    """
    graph = job.graph.copy()
    samples = () if effort == "fast" else job.data.calibration
    shorten(graph, bits, samples, STAGES[effort], lambda done, total: job.tell("rounding", done, total))
    feeds = verify.feeds(graph, job.facts.get("preprocess"))
    provenance = {"weights": bits, "arithmetic": "float32", **asked, **job.data.as_dict()}
    content = finish(lower_into(graph)[0], job.source, job.facts, feeds, {"compressed": provenance}, coded=True)
    return Made(content, arithmetic="float32")


class _Attempts:
    """Models with weights of this and that many bits, in coded files, each measured and a point of the report."""

    def __init__(self, job: Job, max_drop: float, effort: str, asked: Mapping[str, Any]) -> None:
        self.job, self.points = job, list[Point]()
        self._max_drop, self._effort, self._asked = max_drop, effort, asked

    def fewest(self, arithmetic: str, below: float = math.inf) -> _Trial | None:
        """What has enough bits with the fewest; if none has, what keeps most.

        One after the other: where a box is near the threshold, more bits may lose what fewer keep. It ends where every box has
        stayed and a bit more takes little noise away: the rest is of activations.

        Args:
            below: bytes that a file of use may not reach. None is returned where that of the fewest bits does.
        """
        trials: list[_Trial] = []
        for bits in WIDE if arithmetic == "int16" else SHORT:
            made = self._wide(bits) if arithmetic == "int16" else shortened(self.job, bits, self._asked, self._effort)
            if len(made.content) >= below:
                break
            trials.append(self._measured(bits, made))
            last = trials[-1]
            if last.enough:
                return last
            if len(trials) > 1 and last.doubt > STUCK * trials[-2].doubt and max(trial.kept for trial in trials) == 1.0:
                break
        most = max((trial.kept for trial in trials), default=0.0)
        good = [trial for trial in trials if trial.kept == most] or trials  # none of them a number
        least = min((trial.doubt for trial in good), default=0.0)
        return next((trial for trial in good if STUCK * trial.doubt <= least), None)

    def _wide(self, bits: int) -> Made:
        settings = Settings(bits, effort=self._effort, activations=16)
        return in_integers(self.job, settings, self._asked, coded=True)

    def _measured(self, bits: int, made: Made) -> _Trial:
        """Measured on all samples, and what seems to be enough on those alone that did not calibrate."""
        after, job = load(made.content, threads=1), self.job
        metric = job.metric
        accuracy = job.measure(after, metric, everything=True)
        if accuracy.metric != metric:  # the labels are of something else
            metric = accuracy.metric
            accuracy = job.measure(after, metric, everything=True)
        label = f"int16, weights of {bits} bits" if made.arithmetic == "int16" else f"float32, {bits} significant bits"
        self.points.append(_point(label, made.content, accuracy))
        enough = accuracy.is_kept(self._max_drop, moved=0.0, doubt=DOUBT * self._max_drop)
        enough = enough and job.measure(after, metric).is_kept(self._max_drop, moved=0.0)
        return _Trial(bits, made, accuracy, self.points[-1].accuracy, enough)


def with_fewest_bits(job: Job, arithmetic: str, max_drop: float, effort: str, asked: Mapping[str, Any]) -> CompressReport:
    """The model in int16 or float32 with the fewest bits of the weights that keep what it finds, or those that keep most.

    Without labels each box has to stay, and others have to be expected to, as in `give_way`.

    Args:
        arithmetic: one of SEARCHED.
        max_drop: share of the metric that may be lost.
        effort: of `Settings`, in int16.
        asked: options, for the file's metadata.
    """
    attempts = _Attempts(job, max_drop, effort, asked)
    found = attempts.fewest(arithmetic)
    assert found is not None
    report = report_of(job, found.made, found.bits, {**asked, "coded": True})
    report.points = attempts.points
    if not found.enough:
        least = f"{100 * found.doubt:.2f} % of the boxes are expected to change sides of the threshold, however many there are"
        most = f"no bits of the weights keep all that the float model finds; {found.bits} keep most of it"
        report.notes.append(f"with {found.bits} bits of the weights {least}" if found.kept == 1.0 and found.doubt else most)
    return report


def give_way(job: Job, tried: CompressReport, max_drop: float, effort: str = "normal") -> CompressReport:
    """The report of what keeps the model's accuracy: int8 if it does, else float32 or int16, else what was tried.

    Without labels each box has to stay, on the samples that calibrated as well, and the noise of scores near the threshold
    has to be so small that next to none is expected to change sides in other pictures: another bit costs little.

    Args:
        tried: the model in int8.
        max_drop: share of the metric that may be lost; in int8 so many boxes may move.
        effort: of `Settings`, in int16.
    """
    if tried.accuracy.is_kept(max_drop, moved=max_drop):
        return tried
    attempts = _Attempts(job, max_drop, effort, {})
    attempts.points.append(_point("int8", tried.content, tried.accuracy))
    short = attempts.fewest("float32")
    if short is None or not (short.enough or short.accuracy.is_kept(max_drop, moved=1.0)):
        return tried
    found = _better(short, attempts.fewest("int16", below=len(short.made.content)))
    report = report_of(job, found.made, found.bits, {"coded": True})
    report.points = attempts.points
    report.notes.append(f"int8 {tried.loss}; {found.made.arithmetic} in its place, which --arithmetic int8 forbids")
    return report


def _better(short: _Trial, wide: _Trial | None) -> _Trial:
    """The smaller and faster one: of the smaller product of size and time, as measured here."""
    if wide is None or not wide.enough:
        return short
    sizes = [len(trial.made.content) for trial in (short, wide)]
    times = latency([load(trial.made.content, threads=1) for trial in (short, wide)])
    return wide if sizes[1] * times[1] < sizes[0] * times[0] else short


def _point(label: str, content: bytes, accuracy: Accuracy) -> Point:
    boxes = accuracy.agreement.boxes if accuracy.metric == "agreement" else None
    return Point(label, len(content), boxes.same if boxes else accuracy.after)
