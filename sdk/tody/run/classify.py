"""Classifier: a frame in, the most likely classes out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError
from .detect import labels_of, open_model
from .model import Model
from .preprocess import Preprocessor, as_image


@dataclass(frozen=True)
class Label:
    """A class with its probability."""

    label: int
    name: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        return {"label": self.label, "name": self.name, "score": self.score}

    def __str__(self) -> str:
        return f"{self.name} {self.score:.3f}"


class Classifier:
    """Says what a frame shows.

    Args:
        model: path of a `.tody` file, its bytes, or a Model (which must not be run elsewhere at the same time).
        top: how many labels to give.
        threads: as `tody.load` takes it; not with a Model.
        labels: a name for each class instead of the model's.

    Raises:
        UsageError: a wrong argument, a detector, or a model without preprocessing in its metadata.
        ModelError: a damaged model, or metadata that does not fit it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | Model,
        top: int = 5,
        threads: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.model = open_model(model, threads)
        self.labels = labels_of(self.model, labels)
        if top < 1:
            raise UsageError(f"top is {top}", "it must be at least 1")
        self.top = top
        self._prepare = Preprocessor(self.model)
        self._output, self._softmax = _output_of(self.model)

    def __call__(self, frame: Any) -> list[Label]:
        """The most likely classes of one frame, best first.

        Args:
            frame: uint8 [h, w, 3] in BGR order as OpenCV gives it, [h, w] gray, [h, w, 4] BGRA, or a Camera's frame.

        Raises:
            UsageError: the frame is something else.
        """
        scores = self.scores(frame)
        best = np.argsort(-scores, kind="stable")[: self.top]
        names = [self.labels[i] if i < len(self.labels) else str(i) for i in best.tolist()]
        return [Label(int(i), name, float(scores[i])) for i, name in zip(best, names, strict=True)]

    def scores(self, frame: Any) -> NDArray[np.float32]:
        """The probability of every class for one frame, float32 [classes]."""
        self._prepare(as_image(frame))
        self.model.run()
        values = self.model.real_output(self._output).reshape(-1)
        is_sure = self._softmax is False or (self._softmax is None and values.min() >= 0 and abs(values.sum() - 1) < 1e-3)
        return values.copy() if is_sure else _softmax(values)

    def __repr__(self) -> str:
        return f"<Classifier {self.model.describe()}>"


def _output_of(model: Model) -> tuple[str, bool | None]:
    """The name of the output with the classes, and whether it wants a softmax (None: unless its values are probabilities)."""
    meta = model.meta.get("decoder", {})
    if not isinstance(meta, dict) or meta.get("softmax") not in (None, True, False):
        raise ModelError("the model's decoder cannot be used", "it must be an object, and its softmax true or false")
    if meta.get("name", "classify") != "classify":
        why = f"its decoder is {meta.get('name')!r:.40}"
        raise UsageError(f"{model.name} is a detector", why, "tody detect, tody.Detector")
    outputs = meta.get("outputs", [model.outputs[0].name])
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(outputs[0], str):
        raise ModelError("the model's decoder cannot be used", "a classifier has one output")
    try:
        output = model.output(outputs[0])
    except UsageError as e:
        raise ModelError("the model's decoder cannot be used", e.what) from e
    if output.size == 0 or output.size != max(output.shape, default=0):
        why = f"its output is {list(output.shape)} instead of one row of classes"
        raise UsageError(f"{model.name} is not a classifier", why)
    return outputs[0], meta.get("softmax")


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(values - values.max())
    return np.asarray(weights / weights.sum(), np.float32)
