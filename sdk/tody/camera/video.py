"""Everything that OpenCV opens: cameras by number or device file, clips, network streams, GStreamer pipelines."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import CameraError
from .source import Frame, Options, opencv, public_name


class Capture:
    """A `cv2.VideoCapture`, opened and with its first frame read: only that proves that there is a picture."""

    def __init__(self, target: int | str, backend: int, options: Options, name: str, live: bool | None = None) -> None:
        cv2 = opencv()
        self._name, self._loop, self.note = name, options.loop, ""
        self._device = live is True
        self._capture = self._open(cv2, target, backend, options)
        self.fps = max(0.0, float(self._capture.get(cv2.CAP_PROP_FPS)))
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._count = int(count) if 0 < count < 1e9 else 0
        self.live = live if live is not None else self._count == 0
        self.ends = not self.live
        if self.live:
            options.only_for_files(name)
        self._rewind, self._index, self._start = cv2.CAP_PROP_POS_FRAMES, 0, time.monotonic()
        good, self._first = self._capture.read()
        if not good:
            self.close()
            raise CameraError(f"{name} gives no frame", "it opened, but nothing could be decoded", "try it in another player")
        self.size = (self._first.shape[1], self._first.shape[0])

    def _open(self, cv2: Any, target: int | str, backend: int, options: Options) -> Any:
        ms = int(1000 * options.timeout_s)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, ms] if backend == cv2.CAP_FFMPEG else []
        capture = cv2.VideoCapture(target, backend, limits)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"{self._name} cannot be opened", *_why(self._name))
        if self._device:
            asked = (
                (cv2.CAP_PROP_FRAME_WIDTH, options.width),
                (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
                (cv2.CAP_PROP_FPS, options.fps),
            )
            for key, value in asked:
                if value:
                    capture.set(key, value)
        return capture

    def read(self) -> Frame | None:
        image, self._first = self._first, None
        if image is None:
            good, image = self._capture.read()
            if not good and self._loop and self._index:
                self._capture.set(self._rewind, 0)
                good, image = self._capture.read()
            if not good:
                self._note_early_end()
                return None
        time_s = time.monotonic() - self._start if self.live else self._index / (self.fps or 1.0)
        self._index += 1
        return Frame(image, time_s, self._name)

    def _note_early_end(self) -> None:
        """Containers count frames by their index or duration: a few missing ones are rounding, more are damage."""
        if self._count and self._index < self._count - max(2, self._count // 50):
            self.note = f"{self._name} ended early: {self._index} of {self._count} frames could be read"

    def close(self) -> None:
        self._capture.release()


def _why(name: str) -> tuple[str, str]:
    """The cause, and what to try."""
    if "://" in name:
        return (
            "no server answers there, or it sends no video that OpenCV can decode",
            "check the address with ffplay or a browser",
        )
    if Path(name).is_file():
        return "OpenCV found no video in it", "play it elsewhere to see whether it is whole"
    return "OpenCV found no video in it", "tody cameras lists what is here"


def open_device(target: str, options: Options) -> Capture:
    """A camera by number or by its V4L2 device file.

    Raises:
        CameraError: it is not there, not permitted, or gives no frame.
    """
    index = target.isdecimal()
    path = f"/dev/video{target}" if index else target
    name = f"camera {target}" if index else target
    if sys.platform == "linux":
        if not os.path.exists(path):
            here = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "no /dev/video* at all"
            raise CameraError(f"there is no {name}", f"this machine has {here}", "plug it in, or try fake://door")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraError(
                f"{name} may not be used",
                f"you have no permission for {path}",
                "sudo usermod -aG video $USER, then log in again",
            )
    cv2 = opencv()
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    return Capture(int(target) if index else target, backend, options, name, live=True)


def open_clip(path: str, options: Options) -> Capture:
    """A video file: every frame of it."""
    options.only_for_cameras(path)
    if not Path(path).is_file():
        raise CameraError(f"there is no file {path}", "it is not a camera or an address either", "check the path; tody cameras")
    return Capture(path, opencv().CAP_FFMPEG, options, path, live=False)


def open_stream(uri: str, options: Options) -> Capture:
    """An RTSP or HTTP address. It is live unless the server says how long it is."""
    options.only_for_cameras(public_name(uri))
    return Capture(uri, opencv().CAP_FFMPEG, options, public_name(uri))


def open_gstreamer(uri: str, options: Options) -> Capture:
    """`gst:` and a pipeline that makes video. `videoconvert ! appsink` is added where no appsink is named.

    Raises:
        CameraError: this OpenCV was built without GStreamer, or the pipeline does not start.
    """
    pipeline = uri.split(":", 1)[1].removeprefix("//").strip()
    if not has_gstreamer():
        why = "the wheels of OpenCV are built without it"
        raise CameraError(
            "this OpenCV cannot run GStreamer pipelines", why, "use the distribution's OpenCV: apt install python3-opencv"
        )
    if "appsink" not in pipeline:
        pipeline += " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
    return Capture(pipeline, opencv().CAP_GSTREAMER, options, uri, live=True)


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer (its registry lists the name even when it was not)."""
    lines: list[str] = opencv().getBuildInformation().splitlines()
    return any("GStreamer" in line and "YES" in line for line in lines)
