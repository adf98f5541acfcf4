"""What a detector found in one frame, as columns."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError

Floats = NDArray[np.float32]

# tody_box of runtime/vision/vision.h
BOX = np.dtype([("box", "<f4", (4,)), ("score", "<f4"), ("label", "<u4"), ("anchor", "<u4")])


@dataclass(frozen=True)
class Detection:
    """One thing that was found. box: x0, y0, x1, y1 in pixels of the frame; points: [p, 2] or None."""

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str
    points: Floats | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        # seven digits say all that a float32 holds, and print short
        points = None if self.points is None else [[float(f"{v:.7g}") for v in point] for point in self.points.tolist()]
        box, score = [float(f"{v:.7g}") for v in self.box], float(f"{self.score:.7g}")
        entry = {"box": box, "score": score, "label": self.label, "name": self.name}
        return entry if points is None else {**entry, "points": points}


class Detections:
    """What was found, best first: one row for each thing in every column.

    `detections[0]` is one Detection; a slice, mask or list of indices selects rows, and so does a name or a list of names:
    `detections[detections.scores > 0.5]`, `detections["person"]`.

    Attributes:
        boxes: float32 [n, 4], x0, y0, x1, y1 in pixels of the frame.
        scores: float32 [n], 0 to 1.
        labels: int64 [n], index of the class.
        points: float32 [n, p, 2] in pixels of the frame (may lie outside), or None.
        size: width and height of the frame.
        classes: name of every class that the model knows; may be empty.
    """

    def __init__(
        self,
        boxes: ArrayLike,
        scores: ArrayLike,
        labels: ArrayLike,
        points: ArrayLike | None = None,
        size: tuple[int, int] = (0, 0),
        classes: Sequence[str] = (),
    ) -> None:
        self.boxes: Floats = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.scores: Floats = np.asarray(scores, np.float32).reshape(-1)
        self.labels: NDArray[np.int64] = np.asarray(labels, np.int64).reshape(-1)
        self.points: Floats | None = None if points is None else np.asarray(points, np.float32)
        self.size, self.classes = size, tuple(classes)

    @property
    def names(self) -> list[str]:
        """The name of each row's class; its number where the model has no names."""
        return [self.classes[i] if 0 <= i < len(self.classes) else str(i) for i in self.labels.tolist()]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, rows: int) -> Detection: ...
    @overload
    def __getitem__(self, rows: slice | str | Sequence[str] | Sequence[int] | NDArray[Any]) -> Detections: ...
    def __getitem__(self, rows: Any) -> Detection | Detections:
        if isinstance(rows, (int, np.integer)):
            x0, y0, x1, y1 = self.boxes[rows].tolist()
            points = None if self.points is None else self.points[rows]
            return Detection((x0, y0, x1, y1), float(self.scores[rows]), int(self.labels[rows]), self.names[rows], points)
        if isinstance(rows, str) or (isinstance(rows, (list, tuple)) and rows and all(isinstance(r, str) for r in rows)):
            wanted = {rows} if isinstance(rows, str) else set(rows)
            if self.classes and (strange := sorted(wanted.difference(self.classes))):
                known = ", ".join(self.classes[:8]) + (", …" if len(self.classes) > 8 else "")
                raise UsageError(
                    f"the model knows no {strange[0]!r}", f"it knows {known}", "tody info --labels lists all of them"
                )
            rows = np.array([name in wanted for name in self.names], bool)
        elif isinstance(rows, (list, tuple)):
            rows = np.asarray(rows, None if rows else np.int64)
        points = None if self.points is None else self.points[rows]
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows], points, self.size, self.classes)

    def draw(self, frame: Any) -> NDArray[np.uint8]:
        """A BGR copy of the frame with boxes, names and points.

        Args:
            frame: as a Detector takes it.

        Raises:
            MissingExtraError: OpenCV is not installed.
            UsageError: not a picture.
        """
        from .draw import draw

        return draw(frame, self)

    def as_dict(self) -> dict[str, Any]:
        """size is [width, height]; detections is a list of {box, score, label, name} and, where there are any, points."""
        return {"size": list(self.size), "detections": [d.as_dict() for d in self]}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        """2 person, 1 dog; "nothing" where nothing was found."""
        return ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common()) or "nothing"

    def __repr__(self) -> str:
        return f"<Detections: {self} in {self.size[0]}x{self.size[1]}>"
