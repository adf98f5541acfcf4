"""Pictures as a source: one file, a folder, a glob."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CameraError
from .source import Frame, Image, Options, opencv

SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])


def is_complete(data: bytes) -> bool:
    """False if the file was cut off. OpenCV would give a half grey picture without a word.

    JPEG: an end marker must follow the first scan (one inside of an embedded preview does not count). PNG: the IEND chunk.
    WebP: the size in its header. Other kinds say so themselves when they are decoded.
    """
    if data[:2] == b"\xff\xd8":
        return data.find(b"\xff\xd9", _first_scan(data)) >= 0
    if data[:4] == b"\x89PNG":
        return b"IEND" in data
    if data[:4] == b"RIFF":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True


def _first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins, skipping the segments before it by their lengths."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return at
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def read_picture(path: str | Path) -> Image:
    """A picture file as uint8 [height, width, 3] in BGR order, turned upright as its EXIF data says.

    Raises:
        CameraError: there is no such file, it is not a picture, or it is cut off.
    """
    cv2 = opencv()
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise CameraError(f"{path} cannot be read", e.strerror or str(e), "check the path") from e
    if not is_complete(data):
        raise CameraError(f"{path} is cut off", f"its end is missing after {len(data):,} bytes", "copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as e:
        raise CameraError(f"{path} cannot be decoded", str(e.err), "convert it to JPEG or PNG") from e
    if image is None:
        raise CameraError(
            f"{path} is not a picture that OpenCV can decode", "" if data else "it is empty", "convert it to JPEG or PNG"
        )
    result: Image = np.ascontiguousarray(image, np.uint8)
    return result


class Pictures:
    """Every picture of a list, in order."""

    live, ends, fps, size, note = False, True, 0.0, (0, 0), ""

    def __init__(self, files: Sequence[Path], options: Options) -> None:
        self._files, self._loop, self._next = files, options.loop, 0

    def read(self) -> Frame | None:
        if self._next >= len(self._files):
            if not self._loop:
                return None
            self._next = 0
        path = self._files[self._next]
        self._next += 1
        return Frame(read_picture(path), 0.0, str(path))

    def close(self) -> None:
        """Nothing is held."""


def open_pictures(where: str, options: Options) -> Pictures:
    """A picture, a folder of them, or a glob, sorted by name.

    Raises:
        CameraError: no picture is there.
    """
    options.only_for_cameras(where)
    path = Path(where)
    if path.is_file():
        return Pictures([path], options)
    files = list(path.iterdir()) if path.is_dir() else [Path(f) for f in glob.glob(where, recursive=True)]
    found = sorted(f for f in files if f.suffix.lower() in SUFFIXES and f.is_file())
    if not found:
        raise CameraError(f"there is no picture in {where}", f"looked for {' '.join(sorted(SUFFIXES))}", "check the path")
    return Pictures(found, options)
