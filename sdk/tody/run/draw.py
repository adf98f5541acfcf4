"""Draw detections into a picture."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtraError
from .preprocess import Image, as_image

if TYPE_CHECKING:
    from .detections import Detection, Detections

Colour = tuple[int, int, int]


def draw(frame: Any, detections: Detections) -> Image:
    """A BGR copy of the frame with boxes, names and scores, and points.

    Line width and text size follow the picture's size; a class has the same colour everywhere.

    Args:
        frame: as a Detector takes it.

    Raises:
        MissingExtraError: OpenCV is not installed.
        UsageError: not a picture.
    """
    try:
        import cv2
    except ImportError as e:
        raise MissingExtraError("opencv-python", "camera") from e
    image = as_image(frame)
    kind = image.shape[2] if image.ndim == 3 else 1
    if kind == 3:
        image = image.copy()
    else:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if kind == 1 else cv2.COLOR_BGRA2BGR), np.uint8)
    scale = max(0.7, max(image.shape[:2]) / 1200)
    width = max(1, round(2 * scale))
    for found in reversed(list(detections)):  # the best on top
        colour = colour_of(found.label)
        x0, y0, x1, y1 = (round(v) for v in found.box)
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)
        for x, y in _inside(found, image):
            cv2.circle(image, (x, y), width + 1, colour, cv2.FILLED, cv2.LINE_AA)
        _label(image, found, colour, scale)
    return image


def _inside(found: Detection, image: Image) -> list[tuple[int, int]]:
    """The points that lie in the picture, as whole pixels."""
    points = [] if found.points is None else np.rint(np.clip(found.points, -1, 1e6)).astype(int).tolist()
    return [(x, y) for x, y in points if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]]


def _label(image: Image, found: Detection, colour: Colour, scale: float) -> None:
    """Name and score on a filled bar above the box, or inside where there is no room above."""
    import cv2

    text = f"{found.name} {found.score:.2f}"
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, 1)
    x, y = round(found.box[0]), round(found.box[1])
    top = y - height - base if y >= height + base else y
    cv2.rectangle(image, (x, top), (x + width, top + height + base), colour, cv2.FILLED)
    cv2.putText(image, text, (x, top + height), cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, (0, 0, 0), 1, cv2.LINE_AA)


def colour_of(label: int) -> Colour:
    """A bright BGR colour; neighbouring labels are far apart (steps of the golden ratio around the colour circle)."""
    r, g, b = colorsys.hsv_to_rgb((0.36 + label * 0.618034) % 1.0, 0.75, 1.0)
    return int(b * 255), int(g * 255), int(r * 255)
