"""Pair the boxes that two detectors found in the same picture."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .detections import Detections

OVERLAP = 0.5  # IoU from which two boxes of a class are the same thing
SAME = 0.95  # IoU from which nobody sees that one of them moved


@dataclass(frozen=True)
class BoxAgreement:
    """Boxes of two detectors: those of a class that overlap by at least `OVERLAP` are paired, the most sure first.

    Attributes:
        f1: twice the pairs over the boxes of both.
        iou: mean overlap of the pairs; 0 where there are none.
        least: smallest overlap of a pair.
        before, after: boxes that each found, at the first model's own threshold.
        same: as f1, of the pairs that overlap by at least `SAME`.
    """

    f1: float
    iou: float
    least: float
    before: int
    after: int
    same: float = 0.0


def match(before: Detections, after: Detections) -> list[float]:
    """Overlaps (IoU) of the pairs of boxes of one class that overlap by at least `OVERLAP`.

    Each box of `after`, the most sure first, takes the box of `before` with the largest overlap that is still free.
    """
    overlaps = overlap(before, after) * (before.labels[:, None] == after.labels[None, :])
    found = []
    for column in np.argsort(-after.scores, kind="stable").tolist():
        if not len(before):
            break
        row = int(np.argmax(overlaps[:, column]))
        if overlaps[row, column] >= OVERLAP:
            found.append(float(overlaps[row, column]))
            overlaps[row] = 0.0
    return found


def overlap(a: Detections, b: Detections) -> NDArray[np.float64]:
    """Intersection over union of every box of a with every box of b, [len(a), len(b)]."""
    one, two = a.boxes.astype(np.float64)[:, None], b.boxes.astype(np.float64)[None, :]
    sides = np.maximum(np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2]), 0.0)
    both = sides[..., 0] * sides[..., 1]
    areas = [(box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (one, two)]
    found: NDArray[np.float64] = both / np.maximum(areas[0] + areas[1] - both, 1e-12)
    return found


class BoxSums:
    """Boxes that reach the first model's own threshold, and the pairs among them."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.counts = [0, 0]
        self.overlaps: list[float] = []

    def add(self, before: Detections, after: Detections) -> None:
        a, b = (things[things.scores >= self.threshold] for things in (before, after))
        self.counts = [self.counts[0] + len(a), self.counts[1] + len(b)]
        self.overlaps += match(a, b)

    def result(self) -> BoxAgreement | None:
        """The agreement; None where neither found anything, which proves nothing."""
        pairs, boxes = self.overlaps, sum(self.counts)
        if not boxes:
            return None
        mean = float(np.mean(pairs)) if pairs else 0.0
        same = 2 * sum(pair >= SAME for pair in pairs) / boxes
        before, after = self.counts
        return BoxAgreement(2 * len(pairs) / boxes, mean, min(pairs, default=0.0), before, after, same)
