"""How far two models agree on the same inputs: what can be said of a compressed model where there are no labels."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .detect import Detector
from .detections import Detections
from .match import BoxAgreement, BoxSums
from .model import Model
from .preprocess import Image, Preprocessor

Array = NDArray[Any]

SEEN = 0.01  # score of the boxes that `Comparison` asks detectors for, so that COCO's measure can use them too
MAX_BYTES = 1 << 28  # of answers that are kept
PROBABLE = 0.02  # how far the sum of a row of probabilities may be from 1, int8 ones included


@dataclass(frozen=True)
class OutputAgreement:
    """One output of two models over all samples.

    Attributes:
        cosine: of the angle between the outputs, taken as one long vector; for integers the share of equal elements.
        sqnr_db: power of the first model's output over the power of the difference, in dB; infinite where they are equal.
        largest: absolute difference.
    """

    name: str
    cosine: float
    sqnr_db: float
    largest: float


@dataclass
class Agreement:
    """How far two models agree.

    Attributes:
        samples: on how many.
        outputs: of each output.
        argmax: share of the samples for which a classifier's most likely class is the same; None for other models.
        boxes: of a detector on pictures, if it found anything; else None.
    """

    samples: int
    outputs: list[OutputAgreement] = field(default_factory=list)
    argmax: float | None = None
    boxes: BoxAgreement | None = None

    @property
    def kind(self) -> str:
        """What `score` is: "boxes", "argmax" or "cosine"."""
        return "boxes" if self.boxes else "cosine" if self.argmax is None else "argmax"

    @property
    def score(self) -> float:
        """F1 of the boxes, or equal classes, or the lowest cosine of an output: 1 where the models agree."""
        if self.boxes:
            return self.boxes.f1
        return self.argmax if self.argmax is not None else min((o.cosine for o in self.outputs), default=1.0)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "kind": self.kind, "score": self.score}


@dataclass(frozen=True)
class Answer:
    """What a model made of one thing: copies of its outputs, in real numbers, and what a detector found."""

    outputs: list[Array]
    found: Detections | None = None

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.outputs)


class Answers:
    """What one model made of things with a name, as long as there is room, so that it need not run again."""

    def __init__(self, room: int = MAX_BYTES) -> None:
        self._kept: dict[str, Answer] = {}
        self._room = room

    def get(self, name: str | None, ask: Callable[[], Answer]) -> Answer:
        """The answer for the thing of this name; None: for one that never comes again."""
        if name is not None and name in self._kept:
            return self._kept[name]
        answer = ask()
        if name is not None and answer.nbytes <= self._room:
            self._kept[name] = answer
            self._room -= answer.nbytes
        return answer


class Comparison:
    """Runs two models on the same things and keeps count. Nothing but sums is kept here.

    Args:
        before: the model that counts as right.
        after: another one with the same inputs and outputs; where it has int8 for float32, its scale is used.
        iou: of the suppression of detectors; None: as the models say.
        classifier: the first row of classes is that of a classifier, whatever the metadata says.
        known: answers of `before` in earlier comparisons with the same arguments but for `after`.

    Attributes:
        classes: the most likely class of each model for what was run last; None for what is no classifier.

    Raises:
        UsageError: the models' inputs or outputs differ.
    """

    classes: tuple[int, int] | None = None

    def __init__(
        self,
        before: Model,
        after: Model,
        iou: float | None = None,
        classifier: bool = False,
        known: Answers | None = None,
    ) -> None:
        self.models = (before, after)
        self._known = known or Answers(0)
        for kind, a, b in (("inputs", before.inputs, after.inputs), ("outputs", before.outputs, after.outputs)):
            if [(p.name, p.shape) for p in a] != [(p.name, p.shape) for p in b]:
                why = f"{'; '.join(map(str, a))} against {'; '.join(map(str, b))}"
                raise UsageError(f"the models have different {kind}", why, "compare models that were made of the same source")
        self._detectors = [Detector(m, score=SEEN, iou=iou) for m in self.models] if is_detector(before.meta) else []
        self._prepare: list[Preprocessor] = []
        self._outputs = [_OutputSums() for _ in before.outputs]
        self._boxes = BoxSums(Detector(before).score if self._detectors else 0.0)
        self._classes = _ClassSums(before, classifier)
        self._samples = 0

    def picture(self, image: Image, name: str | None = None) -> tuple[Detections, Detections] | None:
        """Run both on a picture (BGR); returns what detectors found in it, everything from a score of `SEEN`.

        Args:
            name: of the picture, by which the first model's answer is known again.
        """
        if not self._detectors and not self._prepare:
            self._prepare = [Preprocessor(model) for model in self.models]

        def look(i: int) -> Answer:
            if self._detectors:
                return Answer(found=self._detectors[i](image), outputs=self._outputs_of(i))
            self._prepare[i](image)
            self.models[i].run()
            return Answer(self._outputs_of(i))

        before, after = self._ask(look, name)
        if before.found is None or after.found is None:
            return None
        self._boxes.add(before.found, after.found)
        return before.found, after.found

    def arrays(self, sample: Mapping[str, Array], name: str | None = None) -> None:
        """Run both on arrays by input name. `name` is that of the sample, as for `picture`."""

        def feed(i: int) -> Answer:
            model = self.models[i]
            for port in model.inputs:
                model.input(port.name)[...] = _quantised(sample[port.name], port.quant)
            model.run()
            return Answer(self._outputs_of(i))

        self._ask(feed, name)

    def _ask(self, ask: Callable[[int], Answer], name: str | None) -> tuple[Answer, Answer]:
        """Both models' answers, counted."""
        before, after = self._known.get(name, lambda: ask(0)), ask(1)
        self._samples += 1
        for sums, a, b in zip(self._outputs, before.outputs, after.outputs, strict=True):
            sums.add(a, b)
        self.classes = self._classes.add(before.outputs, after.outputs)
        return before, after

    def result(self) -> Agreement:
        """The agreement over everything that was run so far."""
        names = [port.name for port in self.models[0].outputs]
        outputs = [sums.result(name) for sums, name in zip(self._outputs, names, strict=True)]
        return Agreement(self._samples, outputs, self._classes.result(), self._boxes.result())

    def _outputs_of(self, i: int) -> list[Array]:
        """Copies of a model's outputs, in real numbers."""
        model = self.models[i]
        return [np.array(model.real_output(k) if p.quant else model.output(k)) for k, p in enumerate(model.outputs)]


def is_detector(meta: Mapping[str, Any]) -> bool:
    """Whether a model's metadata says how boxes are read from its outputs."""
    decoder = meta.get("decoder")
    return isinstance(decoder, dict) and decoder.get("name") not in (None, "classify") and "preprocess" in meta


class _OutputSums:
    """Powers of an output, of its copy, of their product and of their difference.

    Where both have the same infinity, or no number, is left out; where one of them has, nothing agrees any more.
    """

    def __init__(self) -> None:
        self.aa = self.bb = self.ab = self.error = self.largest = 0.0
        self.broken = False
        self.equal = self.count = 0
        self.integer = False

    def add(self, before: Array, after: Array) -> None:
        self.integer = before.dtype.kind not in "f"
        self.equal += int(np.sum(before == after))
        self.count += before.size
        a, b = before.astype(np.float64).reshape(-1), after.astype(np.float64).reshape(-1)
        same = ~np.isfinite(a) & ((a == b) | (np.isnan(a) & np.isnan(b)))
        a, b = a[~same], b[~same]
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            self.broken = True
            return
        difference = a - b
        self.aa, self.bb, self.ab = self.aa + float(a @ a), self.bb + float(b @ b), self.ab + float(a @ b)
        self.error += float(difference @ difference)
        self.largest = max(self.largest, float(np.max(np.abs(difference), initial=0.0)))

    def result(self, name: str) -> OutputAgreement:
        if self.broken:
            return OutputAgreement(name, 0.0, -math.inf, math.inf)
        if self.integer:
            share = self.equal / max(self.count, 1)
            return OutputAgreement(name, share, decibels(share, 1 - share), self.largest)
        length = math.sqrt(self.aa) * math.sqrt(self.bb)
        cosine = self.ab / length if length else float(self.error == 0)
        return OutputAgreement(name, min(cosine, 1.0), decibels(self.aa, self.error), self.largest)


class _ClassSums:
    """Most likely classes. A model is a classifier if its metadata says so, or if its only output is a row of probabilities."""

    def __init__(self, model: Model, declared: bool) -> None:
        decoder = model.meta.get("decoder")
        known = isinstance(decoder, dict) and decoder.get("name") == "classify"
        self.declared = known or declared
        names = decoder.get("outputs") if isinstance(decoder, dict) and known else None
        self.which = next((i for i, p in enumerate(model.outputs) if names and p.name == names[0]), 0)
        size = math.prod(model.outputs[self.which].shape)
        is_row = size > 1 and size == max(model.outputs[self.which].shape)
        self.possible = is_row and (self.declared or (decoder is None and len(model.outputs) == 1))
        self.equal = self.count = 0

    def add(self, before: list[Array], after: list[Array]) -> tuple[int, int] | None:
        if not self.possible:
            return None
        a, b = before[self.which].reshape(-1), after[self.which].reshape(-1)
        if not self.declared and (a.min() < 0 or abs(float(a.sum(dtype=np.float64)) - 1) > PROBABLE):
            self.possible = False
            return None
        chosen = int(np.argmax(a)), int(np.argmax(b))
        self.equal += chosen[0] == chosen[1]
        self.count += 1
        return chosen

    def result(self) -> float | None:
        return self.equal / self.count if self.possible and self.count else None


def decibels(signal: float, noise: float) -> float:
    """Ratio of two powers in dB; infinite without noise."""
    if noise <= 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _quantised(array: Array, quant: tuple[float, int] | None) -> Array:
    """An input as the model takes it."""
    if quant is None or array.dtype.kind != "f":
        return array
    whole: Array = np.clip(np.rint(array / quant[0]) + quant[1], -128, 127).astype(np.int8)
    return whole
