"""Screen: where frames go. A window, a clip, pictures, or a page in a browser."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ..errors import CameraError, UsageError
from .pictures import SUFFIXES
from .source import Image, opencv

CLIPS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "MJPG", ".avi": "MJPG"}


class Drawable(Protocol):
    """What `show` takes beside the frame: anything that can draw itself, such as Detections."""

    def draw(self, frame: Image) -> Image:
        """A copy of the frame with itself drawn on it."""
        ...


class Sink(Protocol):
    """An opened target. `closed` is true when the user asked to end."""

    closed: bool

    def show(self, image: Image) -> None: ...

    def close(self) -> None: ...


class Window:
    """A window on this machine's display. Q, Esc or its button closes it."""

    def __init__(self, title: str) -> None:
        self._cv2, self._title, self.closed = opencv(), title, False
        if any("GUI:" in line and "NONE" in line for line in self._cv2.getBuildInformation().splitlines()):
            why, hint = (
                "opencv-python-headless is installed",
                "pip install opencv-python instead, or show it in a browser: http://:8080",
            )
            raise UsageError("this OpenCV cannot open windows", why, hint)
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            hint = "show it in a browser instead: http://:8080"
            raise UsageError("there is no display for a window", "DISPLAY is not set", hint)
        self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)
        self._shown = False

    def show(self, image: Image) -> None:
        if not self._shown:
            self._cv2.resizeWindow(self._title, image.shape[1], image.shape[0])
            self._shown = True
        self._cv2.imshow(self._title, image)
        key = self._cv2.waitKey(1) & 0xFF
        gone = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) < 1
        self.closed = gone or key in (27, ord("q"))

    def close(self) -> None:
        self._cv2.destroyWindow(self._title)


class Clip:
    """A video file. The first frame decides its size; later ones are scaled to it."""

    closed = False

    def __init__(self, path: Path, fps: float) -> None:
        self._cv2, self._path, self._fps = opencv(), path, fps
        self._writer: Any = None
        self._count = 0
        if not path.parent.is_dir():
            raise CameraError(f"{path} cannot be written", f"there is no folder {path.parent}", "make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
            raise CameraError(f"{path} cannot be written", "the place is read-only or a folder", "choose another folder")

    def show(self, image: Image) -> None:
        cv2 = self._cv2
        if self._writer is None:
            self._size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(
                str(self._path), cv2.VideoWriter.fourcc(*CLIPS[self._path.suffix.lower()]), self._fps, self._size
            )
            if not self._writer.isOpened():
                raise CameraError(
                    f"{self._path} cannot be written",
                    "OpenCV cannot encode this kind of clip here",
                    "try a name that ends with .avi",
                )
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size)
        self._writer.write(image)
        self._count += 1

    def close(self) -> None:
        """Finish the file. OpenCV does not say when the disk is full, so the end of the clip is looked for.

        Raises:
            CameraError: it is not there.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if self._cv2.CAP_FFMPEG in self._cv2.videoio_registry.getBackends() and not self._has_end():
            why = f"not all of {self._count} frames can be read back; the disk may be full"
            raise CameraError(f"{self._path} is not complete", why, "free some space, or choose another folder")

    def _has_end(self) -> bool:
        """Whether one of the last three frames can be read; containers find frames by their time, which may be rounded."""
        clip = self._cv2.VideoCapture(str(self._path), self._cv2.CAP_FFMPEG)
        clip.set(self._cv2.CAP_PROP_POS_FRAMES, max(0, self._count - 3))
        good = clip.isOpened() and clip.read()[0] and clip.get(self._cv2.CAP_PROP_POS_FRAMES) >= self._count - 3
        clip.release()
        return bool(good)


class Folder:
    """Pictures: 000000.jpg, 000001.jpg, … in a folder; or one file, which keeps the last frame."""

    closed = False

    def __init__(self, path: Path, single: bool) -> None:
        self._cv2, self._path, self._single, self._count = opencv(), path, single, 0
        try:
            (path.parent if single else path).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise CameraError(f"{path} cannot be written", e.strerror or str(e), "choose another folder") from e

    def show(self, image: Image) -> None:
        path = self._path if self._single else self._path / f"{self._count:06d}.jpg"
        _, data = self._cv2.imencode(path.suffix, image)
        try:
            path.write_bytes(data.tobytes())
        except OSError as e:
            with contextlib.suppress(OSError):
                path.unlink()
            raise CameraError(f"{path} cannot be written", e.strerror or str(e), "choose another folder") from e
        self._count += 1

    def close(self) -> None:
        """Every picture is on the disk already."""


def _open(given: str | os.PathLike[str], fps: float) -> Sink:
    target = os.fspath(given) if isinstance(given, (str, os.PathLike)) else ""
    path = Path(target)
    if target == "window":
        return Window("tody")
    if target.startswith("http://"):
        from .web import Web

        return Web(target)
    if "://" in target or not target:
        raise UsageError(
            f"nothing can be shown on {given!r}",
            "a screen is window, http://:8080, a clip, a picture or a folder",
            "http://:8080",
        )
    if path.suffix.lower() in CLIPS:
        return Clip(path, fps)
    if path.suffix.lower() in SUFFIXES:
        return Folder(path, single=True)
    if path.suffix and not path.is_dir() and not target.endswith("/"):
        raise UsageError(
            f"{target} is no kind of picture or clip",
            f"known are {' '.join([*CLIPS, *sorted(SUFFIXES)])}",
            "a folder ends with /",
        )
    return Folder(path, single=False)


class Screen:
    """Shows frames, with what was found drawn on them.

    Args:
        target: "window"; "http://:8080", a page in a browser (":8080" listens on every network of this machine,
            "http://127.0.0.1:8080" on this machine only); "out.mp4" or "out.avi", a clip; "out.jpg", the last frame;
            "folder/", a picture for each frame.
        fps: frames a second of a clip.

    Attributes:
        closed: true when the user closed the window.
        url: address of the page, or "".

    Raises:
        CameraError: the file or the port cannot be used.
        UsageError: no such kind of target, no display, or an OpenCV without windows.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, target: str | os.PathLike[str], fps: float = 30.0) -> None:
        if not 0 < fps <= 1000:
            raise UsageError(f"a clip cannot have {fps:g} frames a second", "it must be above 0 and at most 1000", "fps=30")
        self._sink = _open(target, fps)
        self.url: str = getattr(self._sink, "url", "")

    def show(self, frame: Image, found: Drawable | None = None) -> None:
        """Draw `found` on a copy of the frame and show it. The frame itself is not changed."""
        self._sink.show(found.draw(frame) if found is not None else frame)

    @property
    def closed(self) -> bool:
        return self._sink.closed

    def close(self) -> None:
        self._sink.close()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
