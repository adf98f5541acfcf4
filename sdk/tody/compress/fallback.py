"""Give way where int8 loses too much, with the fewest bits of the weights with which a model keeps what it finds.

Integers of 8 bits are a noise that gathers from layer to layer: a deep and narrow detector whose boxes are to stay within a
twentieth has no room for it, in whichever layers. Its weights need far fewer bits than 32 all the same: significant ones in
float32, or steps of each channel beside activations of 16 bits. These are smaller, and faster where a model is wide enough.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from .options import BESIDE_16
from .quantise import Settings
from .report import CompressReport, Point
from .stages import STAGES

SHORT = range(FEWEST, MOST + 1)  # significant bits in float32
FIRST = {"float32": 8, "int16": 8}  # bits that are tried first: about as many as detectors of faces need
DOUBT = 1 / 3  # of max_drop: share of the boxes that may be expected to change sides of the threshold in other pictures
STUCK = 0.8  # of the noise: a bit that takes away less than the rest is no use, and noise foretold may be as much less
SEARCHED = ("int16", "float32")  # arithmetic whose bits are searched for where nobody names them


@dataclass(frozen=True)
class _Trial:
    """A model with weights of so many bits, what it keeps, 0 to 1, and whether that is enough.

    Attributes:
        accuracy: on all samples.
        apart: on those that did not calibrate, for the report.
        noise: what it loses, in a measure that halves with each bit as long as weights make it.
        allowed: of the same measure.
    """

    bits: int
    made: Made
    accuracy: Accuracy
    apart: Accuracy
    kept: float
    enough: bool
    noise: float
    allowed: float

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

        Each trial foretells the noise of other bits (`_foretold`). The next one is of the fewest that may be enough by that.

        Args:
            below: bytes that a file of use may not reach; and where they are named, only enough bits are of use. None is
                returned where no file is smaller.
        """
        widths, bits = list(BESIDE_16 if arithmetic == "int16" else SHORT), FIRST[arithmetic]
        trials: dict[int, _Trial] = {}
        while True:
            made = self._wide(bits) if arithmetic == "int16" else shortened(self.job, bits, self._asked, self._effort)
            if len(made.content) < below:
                trials[bits] = self._measured(bits, made)
            else:
                widths = [fewer for fewer in widths if fewer < bits]
            promising = _promising(trials, widths, below < math.inf)
            if not promising:
                return _best([trials[bits] for bits in sorted(trials)])
            bits = promising[0]

    def _wide(self, bits: int) -> Made:
        settings = Settings(bits, effort=self._effort, activations=16)
        return in_integers(self.job, settings, self._asked, coded=True)

    def _measured(self, bits: int, made: Made) -> _Trial:
        """Measured on all samples, and on those alone that did not calibrate."""
        after, job = load(made.content, threads=1), self.job
        apart, accuracy = first = job.measure_all(after, job.metric)
        if accuracy.metric != job.metric:  # the labels are of something else
            apart, accuracy = job.measure_all(after, accuracy.metric)
        label = f"int16, weights of {bits} bits" if made.arithmetic == "int16" else f"float32, {bits} significant bits"
        self.points.append(_point(label, made.content, accuracy))
        enough = accuracy.is_kept(self._max_drop, moved=0.0, doubt=DOUBT * self._max_drop)
        enough = enough and apart.is_kept(self._max_drop, moved=0.0)
        noise, allowed = _noise(accuracy, self._max_drop)
        return _Trial(bits, made, accuracy, first[0], self.points[-1].accuracy, enough, noise, allowed)


def _noise(accuracy: Accuracy, max_drop: float) -> tuple[float, float]:
    """What halves with each bit of the weights, and how much of it is allowed: the doubt of boxes, or what is lost."""
    boxes = accuracy.agreement.boxes
    if accuracy.metric == "agreement" and boxes:
        return boxes.doubt, DOUBT * max_drop
    lost, allowed = max(accuracy.drop, 0.0), accuracy.allowed(max_drop)
    if accuracy.metric == "agreement" and accuracy.agreement.kind == "cosine":  # of powers
        return math.sqrt(lost), math.sqrt(allowed)
    return lost, allowed


def _foretold(trials: Mapping[int, _Trial], bits: int) -> float:
    """Noise with so many bits of the weights: of two independent parts, one of the weights, the other of the activations.

    The nearest two trials say how large they are; a single one is taken to be of the weights alone.
    """
    near, *others = sorted(trials, key=lambda tried: (abs(tried - bits), -tried))
    power, scale = trials[near].noise ** 2, 4.0**-near
    slope = power / scale
    for other in others[:1]:
        slope = min(slope, max((power - trials[other].noise ** 2) / (scale - 4.0**-other), 0.0))
    return math.sqrt(max(power + slope * (4.0**-bits - scale), 0.0))


def _promising(trials: Mapping[int, _Trial], widths: Sequence[int], strict: bool) -> list[int]:
    """Bits worth a trial, the fewest first: fewer than are known to be enough, which may be enough by what is foretold.

    Where no bits are, those will do whose noise is about that of the most, unless `strict`.
    """
    if not trials:  # the first file was too large
        return list(widths[-1:])
    tried = trials.values()
    most = min((trial.bits for trial in tried if trial.enough), default=math.inf)
    untried = {bits: STUCK * _foretold(trials, bits) for bits in widths if bits not in trials and bits < most}
    promising = [bits for bits, noise in untried.items() if noise <= max(trial.allowed for trial in tried)]
    if promising or most < math.inf or strict:
        return promising
    least = _foretold(trials, widths[-1])
    done = max(trial.kept for trial in tried) == 1.0 and STUCK * min(trial.noise for trial in tried) <= least
    return [] if done else [bits for bits, noise in untried.items() if noise <= least]


def _best(trials: Sequence[_Trial]) -> _Trial | None:
    """Of trials of more and more bits the first that has enough; if none has, of those that keep most, one of little doubt."""
    most = max((trial.kept for trial in trials), default=0.0)
    good = [trial for trial in trials if trial.kept == most] or trials  # none of them a number
    least = min((trial.doubt for trial in good), default=0.0)
    best = next((trial for trial in good if STUCK * trial.doubt <= least), None)
    return next((trial for trial in trials if trial.enough), best)


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
    report = report_of(job, found.made, found.bits, {**asked, "coded": True}, found.apart)
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
    report = report_of(job, found.made, found.bits, {"coded": True}, found.apart)
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
