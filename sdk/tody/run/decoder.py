"""From a model's outputs to boxes, as its metadata says. The work is done by runtime/vision/."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._vision import WEIGHTED_FLOOR, Decoder, nms, to_frame
from ..errors import ModelError, UsageError
from .detections import BOX, Detections
from .model import Model
from .preprocess import Placement

CAPACITY = 4096  # candidates before suppression; the most sure are kept
DEFAULT_SCORE, DEFAULT_IOU = 0.4, 0.5
_FLAGS = ("sigmoid", "softmax", "background", "normalized", "corner", "y_first")

# What need not be said in the metadata: runtime/vision/decoders.c has the table
_DEFAULTS: dict[str, dict[str, Any]] = {
    "yolov8_raw": {"sigmoid": True},
    "ssd": {"normalized": True},
    "blazeface": {"sigmoid": True, "classes": 1, "points": 6},
    "centerface": {"classes": 1, "points": 5, "strides": [4]},
    "centernet": {"strides": [4]},
    "detr": {"normalized": True},
}


class OutputDecoder:
    """Reads a model's outputs after a run.

    Args:
        model: one whose metadata has `decoder` (docs/format.md).
        classes: how many classes there are, where the metadata does not say; 0: not known either.

    Raises:
        UsageError: the metadata has no decoder, or one that is not for boxes.
        ModelError: what it has cannot be used.
    """

    def __init__(self, model: Model, classes: int = 0) -> None:
        meta = model.meta.get("decoder")
        if meta is None:
            hint = "convert again with --decoder (and --preprocess): tody convert --help lists them"
            what = f"{model.name} does not say how its outputs become boxes"
            raise UsageError(what, "it was converted without a decoder", hint)
        if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
            raise ModelError("the model's decoder cannot be used", "it has no name")
        if meta["name"] == "classify":
            raise UsageError(f"{model.name} is a classifier", "it finds no boxes", "tody classify, tody.Classifier")
        self._decoder = decoder_of(meta, _input_size(model), classes)
        self._model, self._outputs = model, _outputs(model, meta.get("outputs"))
        self._boxes = np.zeros(CAPACITY, BOX)
        self._points = np.zeros((CAPACITY, self._decoder.points, 2), np.float32) if self._decoder.points else None
        self.decode(1.0)  # refuses a model whose outputs do not fit

    def decode(self, score: float, multilabel: bool = False) -> int:
        """Put what reaches `score` into the columns, in pixels of the model's input; returns how many there are."""
        outputs = [self._model.real_output(name) for name in self._outputs]
        return self._decoder.run(outputs, score, self._boxes, self._points, multilabel)

    def detections(
        self,
        placement: Placement,
        size: tuple[int, int],
        names: Sequence[str],
        score: float,
        iou: float,
        limit: int,
        multilabel: bool = False,
    ) -> Detections:
        """What the model found in a frame of `size` (width, height) that `placement` put into its input."""
        weighted = self._decoder.weighted
        count = self.decode(min(score, WEIGHTED_FLOOR) if weighted else score, multilabel)
        # an overlap of 1 suppresses nothing: models that give each object once are only sorted and cut
        iou = iou if self._decoder.needs_nms else 1.0
        count = nms(self._boxes, self._points, count, iou, score, weighted, limit=limit)
        to_frame(self._boxes, self._points, count, placement, size)
        rows = self._boxes[:count]
        points = None if self._points is None else self._points[:count].copy()
        return Detections(rows["box"].copy(), rows["score"].copy(), rows["label"], points, size, names)


def decoder_of(meta: dict[str, Any], size: tuple[int, int], classes: int) -> Decoder:
    """The C decoder for the `decoder` of a model's metadata.

    Raises:
        ModelError: a value is of the wrong type or out of range.
    """
    name = meta["name"]
    values = {"classes": classes, **_DEFAULTS.get(name, {}), **meta}
    if name == "detr":
        values.setdefault("sigmoid", not values.get("softmax"))
    elif name == "yolov5":
        values.setdefault("sigmoid", bool(values.get("strides")))
    for key in _FLAGS:
        if values.get(key, False) not in (True, False):
            raise ModelError(f"the parameters of the decoder {name} cannot be used", f"{key} is neither true nor false")
    strides = values.get("strides", [])
    whole = {key: values.get(key, 0) for key in ("classes", "points", "bins")}
    if not isinstance(strides, list) or not all(type(v) is int for v in (*strides, *whole.values())):
        raise ModelError(f"the parameters of the decoder {name} cannot be used", "strides and counts must be whole numbers")
    return Decoder(
        name,
        width=size[0],
        height=size[1],
        **whole,
        strides=strides,
        anchors=_anchors(name, values.get("anchors")),
        variance=values.get("variance", (0.0, 0.0, 0.0, 0.0)),
        flags=[key for key in _FLAGS if values.get(key)],
    )


def _anchors(name: str, rows: Any) -> NDArray[np.float32] | None:
    if rows is None:
        return None
    try:
        anchors = np.array(rows, np.float32)
    except (TypeError, ValueError, OverflowError) as e:
        raise ModelError(f"the parameters of the decoder {name} cannot be used", f"anchors: {e}") from e
    if anchors.ndim == 3:  # YOLO lists them by stride
        anchors = anchors.reshape(-1, anchors.shape[2])
    if anchors.ndim != 2 or not np.isfinite(anchors).all():
        raise ModelError(f"the parameters of the decoder {name} cannot be used", "anchors must be rows of 2 or 4 numbers")
    return anchors


def _input_size(model: Model) -> tuple[int, int]:
    meta = model.meta.get("preprocess")
    width, height = (meta.get(key) if isinstance(meta, dict) else None for key in ("width", "height"))
    if not isinstance(width, int) or not isinstance(height, int):
        raise ModelError("the model's decoder cannot be used", "its preprocessing gives no width and height")
    return width, height


def _outputs(model: Model, names: Any) -> list[str]:
    """The names of the outputs in the order in which the decoder takes them."""
    if names is None:
        return [port.name for port in model.outputs]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ModelError("the model's decoder cannot be used", "its outputs are not a list of names")
    if unknown := set(names) - {port.name for port in model.outputs}:
        raise ModelError("the model's decoder cannot be used", f"the model has no output {min(unknown)!r}")
    return names
