"""Pair the boxes that two detectors found in the same picture."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detections import Detections

OVERLAP = 0.5  # IoU from which two boxes of a class are the same thing
SAME = 0.95  # IoU from which nobody sees that one of them moved
NEAR = 1.0  # of two scores' logits: what is as far from a threshold as that tells how many there are at the threshold


@dataclass(frozen=True)
class BoxAgreement:
    """Boxes of two detectors: those of a class that overlap by at least `OVERLAP` are paired, the most sure first.

    Attributes:
        f1: twice the pairs over the boxes of both.
        iou: mean overlap of the pairs; 0 where there are none.
        least: smallest overlap of a pair.
        before, after: boxes that each found, at the first model's own threshold.
        same: as f1, of the pairs that overlap by at least `SAME`.
        noise: mean difference of a score's logit between the models, of pairs near the threshold (`NEAR`).
        doubt: share of `before` that is to be expected to change sides of the threshold for that noise, in other pictures: its
            product with the number of boxes per unit of the logit, there.
    """

    f1: float
    iou: float
    least: float
    before: int
    after: int
    same: float = 0.0
    noise: float = 0.0
    doubt: float = 0.0


def match(before: Detections, after: Detections) -> list[float]:
    """Overlaps (IoU) of the pairs of boxes of one class that overlap by at least `OVERLAP`."""
    return [found for _, _, found in pairs(before, after)]


def pairs(before: Detections, after: Detections) -> list[tuple[int, int, float]]:
    """Pairs of boxes of one class that overlap by at least `OVERLAP`: the row of each, and their overlap (IoU).

    Each box of `after`, the most sure first, takes the box of `before` with the largest overlap that is still free.
    """
    overlaps = overlap(before, after) * (before.labels[:, None] == after.labels[None, :])
    found = []
    for column in np.argsort(-after.scores, kind="stable").tolist():
        if not len(before):
            break
        row = int(np.argmax(overlaps[:, column]))
        if overlaps[row, column] >= OVERLAP:
            found.append((row, column, float(overlaps[row, column])))
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
    """Boxes that reach the first model's own threshold, the pairs among them, and how far scores near it differ."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.counts = [0, 0]
        self.overlaps: list[float] = []
        self.near = 0
        self.differences: list[float] = []

    def add(self, before: Detections, after: Detections) -> None:
        """Everything that both found in a picture, below the threshold as well."""
        a, b = (things[things.scores >= self.threshold] for things in (before, after))
        self.counts = [self.counts[0] + len(a), self.counts[1] + len(b)]
        self.overlaps += match(a, b)
        one, two = (_logits(things.scores) for things in (before, after))
        near = np.abs(one - _logits(np.array([self.threshold]))) < NEAR
        self.near += int(near.sum())
        self.differences += [abs(float(two[j] - one[i])) for i, j, _ in pairs(before, after) if near[i]]

    def result(self) -> BoxAgreement | None:
        """The agreement; None where neither found anything, which proves nothing."""
        found, boxes = self.overlaps, sum(self.counts)
        if not boxes:
            return None
        mean = float(np.mean(found)) if found else 0.0
        same = 2 * sum(each >= SAME for each in found) / boxes
        before, after = self.counts
        noise = math.fsum(self.differences) / max(len(self.differences), 1)
        doubt = noise * self.near / (2 * NEAR) / max(before, 1)
        return BoxAgreement(2 * len(found) / boxes, mean, min(found, default=0.0), before, after, same, noise, doubt)


def _logits(scores: NDArray[Any]) -> NDArray[np.float64]:
    """log(p / (1 - p)), of float32 numbers between 0 and 1."""
    inside = np.clip(scores.astype(np.float64), 2.0**-24, 1 - 2.0**-24)
    return np.asarray(np.log(inside / (1 - inside)))
