"""Measure a compressed model beside the float one: accuracy on labels or agreement without them, size, memory, latency."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError, UsageError
from ..run.agreement import Agreement, Answers, Comparison, is_detector
from ..run.evaluate import IOU, MeanAveragePrecision, class_of, label_file, read_labels
from ..run.model import Model
from .samples import Arrays, Data, Files, Pictures, Progress, Samples

METRICS = ("auto", "map", "top1", "agreement")
# Without labels, so many times --max-drop may disagree: a box or class that changes sides of a threshold is no error yet.
PATIENCE = {"map": 1.0, "top1": 1.0, "cosine": 1.0, "argmax": 5.0, "boxes": 10.0}
TELLING = 0.02  # mAP of the float model: below, the labels are not of what it finds, and losing all would be no loss
SECONDS, ROUNDS = 0.5, 9  # of inference for each model when latency is measured, and runs, at least


@dataclass(frozen=True)
class Accuracy:
    """How good a model is before and after.

    Attributes:
        metric: "map", "top1" or "agreement".
        before, after: of the metric, 0 to 1; agreement is 1 before.
        samples: on how many it was measured.
        agreement: of the outputs, measured always.
        figures: what else the metric says, before and after.
    """

    metric: str
    before: float
    after: float
    samples: int
    agreement: Agreement
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def drop(self) -> float:
        """What was lost, in the metric's own unit; negative where the compressed model is better."""
        return self.before - self.after

    def allowed(self, max_drop: float) -> float:
        """The largest `drop` that `max_drop` lets through.

        That is `max_drop` itself for mAP and top-1, and for the lowest cosine of an output. Without labels, a changed decision
        is not yet a wrong one: classes may change for 5 times, boxes for 10 times that share (`PATIENCE`).
        """
        return max_drop * PATIENCE[self.agreement.kind if self.metric == "agreement" else self.metric]

    def is_kept(self, max_drop: float, moved: float, doubt: float = math.inf) -> bool:
        """Whether no more than `max_drop` allows is lost, and boxes stay where they are if there are no labels to judge them.

        Args:
            moved: share of the boxes that may overlap less than `tody.run.match.SAME`, or be found by one model alone.
            doubt: share that may be expected to change sides of the threshold in other pictures (`BoxAgreement.doubt`).
        """
        boxes = self.agreement.boxes
        stay = self.metric != "agreement" or boxes is None or (boxes.same >= 1 - moved and boxes.doubt <= doubt)
        return stay and self.drop <= self.allowed(max_drop)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "agreement": self.agreement.as_dict(), "drop": self.drop}


@dataclass(frozen=True)
class Cost:
    """What a model takes.

    Attributes:
        file_bytes: of the `.tody` file.
        weight_bytes: of its weights, decoded.
        memory_bytes: activations and working memory with one thread; weights too, where the file is coded.
        latency_ms: median here, one thread; None where it was not measured.
    """

    file_bytes: int
    weight_bytes: int
    memory_bytes: int
    latency_ms: float | None = None


def choose_metric(meta: Mapping[str, Any], data: Data, metric: str = "auto") -> str:
    """The metric that the model and the labels of the measuring samples allow; labels are read here, before any long work.

    Args:
        meta: of the float model: `decoder`, `labels`, `preprocess`.
        data: of `read_data`.
        metric: one of METRICS; "auto": mAP for a detector where pictures have boxes beside them, top-1 where the class of each
            sample is known, else agreement with the float model.

    Raises:
        UsageError: the metric is not for this model or data, or labels do not match the model.
        MissingExtraError: pycocotools is not installed, and mAP was asked for.
    """
    if metric not in METRICS:
        raise UsageError(f"there is no metric {metric!r}", f"known are {', '.join(METRICS)}")
    asked = metric != "auto"
    if metric in ("auto", "map") and _has_boxes(meta, data.measuring, asked):
        try:
            MeanAveragePrecision()
            return "map"
        except MissingExtraError:
            if asked:
                raise
            data.notes.append("boxes are there, but pycocotools is not (pip install 'tody[eval]'): agreement instead of mAP")
            return "agreement"
    if metric in ("auto", "top1") and classes_of(meta, data.measuring, asked) is not None:
        return "top1"
    return "agreement"


def _has_boxes(meta: Mapping[str, Any], samples: Samples, asked: bool) -> bool:
    """Whether mAP can be measured; each label file is read."""
    fits = isinstance(samples, Files) and is_detector(meta)
    files = [f for f in map(label_file, samples.paths) if f.is_file()] if isinstance(samples, Files) else []
    if not fits or not files:
        if asked:
            why = "no picture has a text file of boxes beside it" if fits else "that takes a detector and pictures"
            hint = "DIR/images/NAME.jpg goes with DIR/labels/NAME.txt, whose lines are: class cx cy w h"
            raise UsageError("mAP cannot be measured", why, hint)
        return False
    kinds = int(meta["decoder"].get("classes", 0)) or len(meta.get("labels", ()))
    for file in files:
        numbers, _ = read_labels(file, 1, 1)
        if kinds and numbers.size and numbers.max() >= kinds:
            why = f"{file} has class {numbers.max()}, the model knows {kinds}, counted from 0"
            raise UsageError(
                "the labels do not match the model",
                why,
                "label the pictures with the model's own classes, or --metric agreement",
            )
    return True


def classes_of(meta: Mapping[str, Any], samples: Samples, asked: bool = False) -> list[int] | None:
    """The class of each sample: of its folder's name, or of the `labels` beside the arrays; None where they are not known.

    Args:
        meta: of the float model.
        samples: to measure with.
        asked: top-1 was asked for, so that no classes are an error.

    Raises:
        UsageError: the names of folders or numbers of classes are not the model's.
    """
    if is_detector(meta):
        if asked:
            raise UsageError("top-1 cannot be measured", "the model is a detector", "--metric map")
        return None
    if isinstance(samples, Arrays):
        found = None if samples.labels is None else samples.labels.tolist()
    else:
        found = _classes_of_folders(meta, samples, asked)
    if found is None and asked:
        hint = "a folder of pictures for each class, or an .npz file with `labels`"
        raise UsageError("top-1 cannot be measured", "the class of the samples is not known", hint)
    size = _class_count(meta)
    if found and size and not 0 <= min(found) <= max(found) < size:
        why = f"they go from {min(found)} to {max(found)}, the model knows {size} classes, counted from 0"
        raise UsageError("the labels do not match the model", why, "number the classes as the model does")
    return found


def _class_count(meta: Mapping[str, Any]) -> int:
    outputs = meta.get("outputs") or [{"shape": [0]}]
    return int(np.prod(outputs[0]["shape"]))


def _classes_of_folders(meta: Mapping[str, Any], samples: Samples, asked: bool) -> list[int] | None:
    if not isinstance(samples, Files):
        return None
    folders, labels = samples.folders(), [str(label) for label in meta.get("labels", ())]
    found = [class_of(name, labels) for name in folders]
    kinds = {name: kind for name, kind in zip(folders, found, strict=True) if name}
    strange = sorted(name for name, kind in kinds.items() if kind is None)
    if strange and (asked or len(strange) < len(kinds)):
        why = f"folder {strange[0]!r} is not one of {', '.join(labels[:8]) or 'the numbers of the classes'}"
        raise UsageError("the labels do not match the model", why, "name each folder as a label of the model, or by its number")
    classes = [kind for kind in found if kind is not None]
    return classes if len(classes) == len(found) else None


def measure(
    before: Model, after: Model, data: Data, metric: str, progress: Progress | None = None, known: Answers | None = None
) -> Accuracy:
    """Run both models on the measuring samples.

    Args:
        before, after: the float model and the compressed one, with the same metadata.
        data: of `read_data`.
        metric: of `choose_metric`.
        progress: called with samples done and in all.
        known: answers of `before` in earlier measurements; those of this one are added.

    Returns:
        the accuracy; by agreement where the float model's mAP is below `TELLING`.
    """
    return _measured(before, after, [data.measuring], metric, progress, known)[0]


def measure_all(
    before: Model, after: Model, data: Data, metric: str, progress: Progress | None = None, known: Answers | None = None
) -> tuple[Accuracy, Accuracy]:
    """`measure`, and the same on the samples that calibrated as well, where agreement is the metric."""
    more = [] if data.shared or metric != "agreement" else [data.calibration]
    found = _measured(before, after, [data.measuring, *more], metric, progress, known)
    return found[0], found[-1]


def _measured(
    before: Model, after: Model, parts: Sequence[Samples], metric: str, progress: Progress | None, known: Answers | None
) -> list[Accuracy]:
    """The accuracy on each part of the samples and those before it; labels are of the first part alone."""
    report, count, done, found = progress or (lambda done, total: None), sum(map(len, parts)), 0, list[Accuracy]()
    iou = None if "iou" in before.meta else IOU
    comparison = Comparison(before, after, iou, classifier=metric == "top1", known=known)
    score = {"map": _Boxes, "top1": _Classes}.get(metric, _Nothing)(before, parts[0])
    for samples in parts:
        for i in range(len(samples)):
            boxes = None
            if isinstance(samples, Pictures):
                boxes = comparison.picture(samples.image(i), samples.names[i])
            else:
                comparison.arrays(samples.sample(i), samples.names[i])
            score.add(i, comparison, boxes)
            done += 1
            report(done, count)
        agreement = comparison.result()
        one, two, figures = score.result(agreement)
        if metric == "map" and one < TELLING:
            found.append(Accuracy("agreement", 1.0, agreement.score, done, agreement, {"map": (one, two)}))
        else:
            found.append(Accuracy(metric, one, two, done, agreement, figures))
    return found


Result = tuple[float, float, dict[str, tuple[float, float]]]


class _Nothing:
    """No labels: agreement is all there is."""

    def __init__(self, model: Model, samples: Samples) -> None: ...

    def add(self, index: int, comparison: Comparison, found: Any) -> None: ...

    def result(self, agreement: Agreement) -> Result:
        return 1.0, agreement.score, {}


class _Boxes(_Nothing):
    """mAP of both models."""

    def __init__(self, model: Model, samples: Samples) -> None:
        assert isinstance(samples, Files)
        self._paths: list[Path] = samples.paths
        self._both = MeanAveragePrecision(), MeanAveragePrecision()

    def add(self, index: int, comparison: Comparison, found: Any) -> None:
        for one, things in zip(self._both, found, strict=True):
            one.add(things, label_file(self._paths[index]))

    def result(self, agreement: Agreement) -> Result:
        a, b = (one.result() for one in self._both)
        return a["map"], b["map"], {key: (a[key], b[key]) for key in ("map50", "map75")}


class _Classes(_Nothing):
    """Top-1 of both models."""

    def __init__(self, model: Model, samples: Samples) -> None:
        self._truth = classes_of(model.meta, samples, asked=True) or []
        self._right = [0, 0]

    def add(self, index: int, comparison: Comparison, found: Any) -> None:
        if comparison.classes is None:
            raise UsageError(
                "top-1 cannot be measured", "the model has no output with one row of classes", "--metric agreement"
            )
        for i, kind in enumerate(comparison.classes):
            self._right[i] += kind == self._truth[index]

    def result(self, agreement: Agreement) -> Result:
        a, b = (right / len(self._truth) for right in self._right)
        return a, b, {}


def cost(model: Model, latency_ms: float | None = None) -> Cost:
    """What a model takes."""
    return Cost(model.file_bytes, len(model.file.weights), model.memory_bytes, latency_ms)


def latency(models: Sequence[Model], seconds: float = SECONDS, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Median time of a run in ms of each model, taking turns, on what their inputs hold. Use models opened with one thread."""
    times: list[list[float]] = [[] for _ in models]
    for model in models:
        model.run()
    end = clock() + seconds * len(models)
    while len(times[0]) < ROUNDS or clock() < end:
        for each, model in zip(times, models, strict=True):
            start = clock()
            model.run()
            each.append((clock() - start) * 1e3)
    return [float(np.median(each)) for each in times]
