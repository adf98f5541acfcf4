"""Cameras that are not there: scenes drawn by NumPy, the same on every machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from ..errors import CameraError
from .source import Frame, Image, Options

Colour = tuple[int, int, int]
_BARS = (
    (235, 235, 235),
    (16, 235, 235),
    (235, 235, 16),
    (16, 235, 16),
    (235, 16, 235),
    (16, 16, 235),
    (235, 16, 16),
    (16, 16, 16),
)


def _box(image: Image, x: float, y: float, width: float, height: float, colour: Colour) -> None:
    """Fill a rectangle; what is outside of the picture is cut off."""
    left, top = max(0, round(x)), max(0, round(y))
    image[top : max(0, round(y + height)), left : max(0, round(x + width))] = colour


def _disc(image: Image, x: float, y: float, radius: float, colour: Colour) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = colour


def _bounce(position: float, span: float) -> float:
    """A point that runs to and fro between 0 and span."""
    return span - abs(position % (2 * span) - span) if span > 0 else 0.0


def bars(image: Image, index: int) -> None:
    """Colour bars and a line that moves down by two pixels a frame."""
    height, width = image.shape[:2]
    for i, colour in enumerate(_BARS):
        image[:, i * width // 8 : (i + 1) * width // 8] = colour
    image[(2 * index) % height] = (128, 128, 128)


def shapes(image: Image, index: int) -> None:
    """A box and a disc that bounce on a grey slope."""
    height, width = image.shape[:2]
    image[:] = np.linspace(60, 190, width, dtype=np.uint8)[None, :, None]
    size = min(height, width) / 4
    _box(image, _bounce(5 * index, width - size), _bounce(3 * index, height - size), size, size, (40, 160, 240))
    radius = size / 2
    _disc(
        image,
        radius + _bounce(7 * index + 50, width - size),
        radius + _bounce(4 * index + 20, height - size),
        radius,
        (60, 180, 60),
    )


def door(image: Image, index: int) -> None:
    """A room with a door; a figure walks in from the left, through the door, and comes again."""
    height, width = image.shape[:2]
    image[:] = (200, 205, 210)
    image[height * 4 // 5 :] = (90, 110, 130)
    _box(image, width * 0.68, height * 0.15, width * 0.2, height * 0.65, (40, 60, 90))
    tall = height * 0.55
    walk = ((index + 12) * width / 60) % (width * 1.2) - width * 0.2
    if walk < width * 0.74:
        top, sway = height * 0.85 - tall, (index % 8 - 4) * tall / 60
        _disc(image, walk + tall * 0.12, top + tall * 0.1, tall * 0.1, (130, 160, 205))
        _box(image, walk, top + tall * 0.2, tall * 0.24, tall * 0.42, (150, 70, 40))
        _box(image, walk + sway, top + tall * 0.6, tall * 0.1, tall * 0.4, (60, 50, 50))
        _box(image, walk + tall * 0.14 - sway, top + tall * 0.6, tall * 0.1, tall * 0.4, (60, 50, 50))


SCENES: dict[str, Callable[[Image, int], None]] = {"bars": bars, "door": door, "shapes": shapes}


class Fake:
    """`fake://SCENE?size=640x480&fps=30&frames=100&live=0`.

    frames=0 never ends. live=1 keeps time as a camera does, so that a slow reader loses frames.
    """

    ends, note = True, ""

    def __init__(self, uri: str, options: Options) -> None:
        parts = urlsplit(uri)
        self._name = uri
        self._scene = parts.netloc or "shapes"
        try:
            query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            width, height = (int(v) for v in query.pop("size", "640x480").split("x"))
            self.fps = options.fps or float(query.pop("fps", 30))
            self._frames, self.live = int(query.pop("frames", 100)), query.pop("live", "0") == "1"
        except ValueError as e:
            raise CameraError(f"{uri} cannot be understood", str(e), "fake://door?size=640x480&fps=30&frames=100") from e
        self.size = (options.width or width, options.height or height)
        if fault := self._fault(list(query)):
            raise CameraError(f"there is no {uri}", fault, "fake://door?size=640x480&fps=30&frames=100")
        if self.live:
            options.only_for_files(uri)
        self._loop = options.loop
        self._index = 0
        self._start = time.monotonic()

    def _fault(self, unknown: list[str]) -> str:
        """What is wrong with the options, or ""."""
        faults = {
            f"the scenes are {', '.join(SCENES)}": self._scene not in SCENES,
            f"the options are size, fps, frames and live, not {', '.join(unknown)}": bool(unknown),
            "both sides must be from 16 to 8192": min(self.size) < 16 or max(self.size) > 8192,
            "fps must be above 0 and at most 1000": not 0 < self.fps <= 1000,
            "frames must be 0 or more": self._frames < 0,
        }
        return "; ".join(text for text, wrong in faults.items() if wrong)

    def read(self) -> Frame | None:
        if self._frames and self._index >= self._frames and not self._loop:
            return None
        if self.live:
            time.sleep(max(0.0, self._start + self._index / self.fps - time.monotonic()))
        image = np.empty((self.size[1], self.size[0], 3), np.uint8)
        SCENES[self._scene](image, self._index % self._frames if self._frames else self._index)
        frame = Frame(image, self._index / self.fps, self._name)
        self._index += 1
        return frame

    def close(self) -> None:
        """Nothing is held."""
