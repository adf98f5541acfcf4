"""Detector: a frame in, what it shows out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..errors import ModelError, UsageError
from .decoder import DEFAULT_IOU, DEFAULT_SCORE, OutputDecoder
from .detections import Detections
from .model import Model, load
from .preprocess import Preprocessor, as_image


class Detector:
    """Finds things in frames.

    Args:
        model: path of a `.tody` file, its bytes, or a Model (which must not be run elsewhere at the same time).
        score: keep what is at least this sure, 0 to 1; None: as the model says.
        iou: of two boxes of a class that overlap by more than this, keep the better one, or (faces) the weighted mean of all
            that overlap it; None: as the model says.
        limit: most things to find in a frame.
        threads: as `tody.load` takes it; not with a Model.
        labels: a name for each class instead of the model's.

    Raises:
        UsageError: a wrong argument, or a model without preprocessing or decoder in its metadata.
        ModelError: a damaged model, or metadata that does not fit it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | Model,
        score: float | None = None,
        iou: float | None = None,
        limit: int = 100,
        threads: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.model = open_model(model, threads)
        self.labels = labels_of(self.model, labels)
        self.score = _threshold(self.model, "score", score, DEFAULT_SCORE)
        self.iou = _threshold(self.model, "iou", iou, DEFAULT_IOU)
        if not 1 <= limit < 2**31:
            raise UsageError(f"limit is {limit}", "it must be at least 1")
        self.limit = limit
        self._prepare = Preprocessor(self.model)
        self._decode = OutputDecoder(self.model, len(self.labels))

    def __call__(self, frame: Any, multilabel: bool = False) -> Detections:
        """Find things in one frame.

        Args:
            frame: uint8 [h, w, 3] in BGR order as OpenCV gives it, [h, w] gray, [h, w, 4] BGRA, or a Camera's frame.
            multilabel: a place may be several classes at once, as COCO's mAP is measured.

        Raises:
            UsageError: the frame is something else.
        """
        image = as_image(frame)
        placement = self._prepare(image)
        self.model.run()
        size = image.shape[1], image.shape[0]
        return self._decode.detections(placement, size, self.labels, self.score, self.iou, self.limit, multilabel)

    def __repr__(self) -> str:
        return f"<Detector {self.model.describe()}>"


def open_model(model: str | os.PathLike[str] | bytes | Model, threads: int | None) -> Model:
    """The model itself, or the one in that file."""
    if not isinstance(model, Model):
        return load(model, threads)
    if threads is not None:
        raise UsageError("threads were given with an opened model", "it has its threads already", "tody.load(path, threads=..)")
    return model


def labels_of(model: Model, labels: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes: those given, or the model's."""
    if isinstance(labels, str):
        raise UsageError("labels is one string", "it must be a list of names", "Path(file).read_text().splitlines()")
    names = model.meta.get("labels", []) if labels is None else list(labels)
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise (ModelError if labels is None else UsageError)(
            "labels are not a list of names", "each class has a name, a string"
        )
    return tuple(names)


def _threshold(model: Model, key: str, given: float | None, default: float) -> float:
    value = model.meta.get(key, default) if given is None else given
    if type(value) not in (int, float) or not 0.0 <= value <= 1.0:
        raise (ModelError if given is None else UsageError)(f"{key} is {value!r}", "it must be a number from 0 to 1")
    return float(value)
