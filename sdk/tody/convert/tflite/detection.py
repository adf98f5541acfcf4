"""Detectors that end in TFLite's own post-processing: the model ends before it, and a decoder finds the boxes instead."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..operand import Array
from .file import Operator, Tensor, TfliteModel
from .flatbuffer import Damage
from .flexbuffer import Number, numbers

OPERATOR = "TFLite_Detection_PostProcess"
_SCALES = ("x_scale", "y_scale", "w_scale", "h_scale")
_DIGITS = 7  # of an anchor: a millionth of the picture's side
_LOWEST_SCORE = 0.01  # a threshold below is none; the detector's default is meant


@dataclass(frozen=True)
class Ending:
    """How the boxes of a model are read that ended in post-processing.

    Attributes:
        outputs: the tensors of scores [1,N,C or C+1] and of boxes [1,N,4], which became outputs.
        decoder: as in the metadata, but for `outputs`.
        thresholds: `score` and `iou` of the operator, where they say anything.
    """

    outputs: tuple[int, int]
    decoder: dict[str, Any]
    thresholds: dict[str, float]


def before_detection(model: TfliteModel) -> tuple[TfliteModel, Ending | None]:
    """The model without its post-processing, and what stands for that; as it is where it has none that a decoder can do.

    Raises:
        ModelError: the operator's options are damaged.
    """
    found = [o for o in model.operators if o.is_custom and o.op == OPERATOR and set(o.outputs) & set(model.outputs)]
    ending = _ending(model, found[0]) if len(found) == 1 else None
    if ending is None:
        return model, None
    others = tuple(i for i in model.outputs if i not in found[0].outputs)
    outputs = tuple(dict.fromkeys((*others, *ending.outputs)))
    return replace(model, outputs=outputs, real=frozenset(ending.outputs)), ending


def _ending(model: TfliteModel, operator: Operator) -> Ending | None:
    """None: it is not what a decoder can do."""
    if len(operator.inputs) != 3 or -1 in operator.inputs:
        return None
    boxes, scores, anchors = operator.inputs
    options = numbers(operator.options.get("custom", b""))
    rows, columns = _real(model.tensors[anchors]), model.tensors[scores].shape[-1:]
    classes = int(options.get("num_classes", 0))
    steps = [float(options.get(key, 0)) for key in _SCALES]
    if not all(math.isfinite(v) and v > 0 for v in steps):
        raise Damage(f"{OPERATOR} has no scale of x, y, w and h above zero")
    if rows is None or rows.ndim != 2 or rows.shape[1] != 4 or columns not in ((classes,), (classes + 1,)) or classes < 1:
        return None
    decoder = {
        "name": "ssd",
        "classes": classes,
        "background": columns[0] > classes,
        "y_first": True,
        "anchors": [[float(f"{v:.{_DIGITS}g}") for v in row] for row in rows[:, [1, 0, 3, 2]]],  # theirs are cy, cx, h, w
        "variance": [1 / v for v in steps],
    }
    return Ending((scores, boxes), decoder, _thresholds(options))


def _real(tensor: Tensor) -> Array | None:
    """The numbers that a constant holds or stands for."""
    if tensor.data is None or tensor.scale is None:
        return tensor.data
    if tensor.scale.scales.size > 1:
        return None
    return np.asarray((tensor.data.astype(np.float64) - tensor.scale.zero_points[0]) * tensor.scale.scales[0])


def _thresholds(options: dict[str, Number]) -> dict[str, float]:
    score, iou = float(options.get("nms_score_threshold", 0)), float(options.get("nms_iou_threshold", 0))
    found = {"score": round(score, 4)} if _LOWEST_SCORE <= score <= 1 else {}
    return {**found, "iou": round(iou, 4)} if 0 < iou <= 1 else found
