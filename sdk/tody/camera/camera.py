"""Camera: an iterator of frames from anything that has a URI."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from ..errors import CameraError, UsageError
from .csi import open_csi
from .fake import Fake
from .latest import Latest
from .pictures import SUFFIXES, open_pictures
from .source import Frame, Image, Options, Source, public_name, within
from .video import open_clip, open_device, open_gstreamer, open_stream

OPENERS: dict[str, Callable[[str, Options], Source]] = {
    "camera": open_device,
    "pictures": open_pictures,
    "clip": open_clip,
    "csi": open_csi,
    "rtsp": open_stream,
    "rtsps": open_stream,
    "rtmp": open_stream,
    "udp": open_stream,
    "http": open_stream,
    "https": open_stream,
    "gst": open_gstreamer,
    "fake": Fake,
}


def kind_of(source: str) -> str:
    """The key of OPENERS for a source as a user writes it.

    Raises:
        CameraError: a scheme that nobody opens.
    """
    scheme = re.match(r"([a-z][a-z0-9+]+):", source)
    if scheme and not Path(source).exists():
        if scheme[1] not in OPENERS:
            known = ", ".join(f"{k}:" for k in OPENERS if k not in ("camera", "pictures", "clip"))
            raise CameraError(
                f"nothing opens {public_name(source)}", f"known are {known}", "or the number of a camera, a file, a folder"
            )
        return scheme[1]
    if source.isdecimal() or source.startswith("/dev/video"):
        return "camera"
    if os.path.isdir(source) or Path(source).suffix.lower() in SUFFIXES:
        return "pictures"
    if re.search(r"[*?\[]", source) and not os.path.exists(source):
        return "pictures"
    return "clip"


class Camera:
    """Frames from a camera, a stream, a clip, pictures, or a fake.

    Iterating gives uint8 arrays [height, width, 3] in BGR order, which OpenCV takes as they are. A live source gives its
    newest frame and counts the ones that were missed; a file gives every frame.

    Args:
        source: number of a camera; "/dev/video0"; "csi://0"; "rtsp://…", "http://…"; "gst:PIPELINE"; a clip, a picture, a
            folder, a glob; "fake://door?size=640x480&fps=30&frames=100".
        width, height, fps: what to ask of a camera. It may give something else: see `size` and `fps`.
        loop: begin a file again at its end.
        timeout_s: longest wait for opening and for a frame of a live source.

    Attributes:
        size: (width, height) in pixels; (0, 0) for pictures, whose sizes differ.
        fps: frames a second as the source says; 0 if it does not.
        live: whether frames are lost when the reader is slow.
        index: number of the current frame, from 0, not counting those that were dropped.
        time_s: its time from the start, in seconds (0 for pictures).
        name: the file or camera it is from.
        dropped: frames that came and that nobody read.
        note: why a file ended early, or "".

    Raises:
        CameraError: it cannot be opened, or it stops before its end.
        UsageError: an option that this kind of source cannot follow.
        MissingExtraError: OpenCV is needed and not installed.
    """

    def __init__(
        self,
        source: int | str | os.PathLike[str],
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        loop: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        if isinstance(source, bool) or not isinstance(source, (int, str, os.PathLike)):
            raise UsageError(f"a camera cannot be opened from {source!r}", "it is a number, a path or an address", "Camera(0)")
        uri = os.fspath(source) if not isinstance(source, int) else str(source)
        options = Options(width, height, fps, loop, timeout_s)
        opener, name = OPENERS[kind_of(uri)], public_name(uri)
        self._source = within(timeout_s + 1.0, lambda: opener(uri, options), lambda late: late.close(), name)
        self.live, self.size, self.fps = self._source.live, self._source.size, self._source.fps
        self._latest = Latest(self._source, name, timeout_s) if self.live else None
        self._reader: Source | Latest | None = self._latest or self._source
        self.index, self.time_s, self.name = -1, 0.0, name

    def __iter__(self) -> Iterator[Image]:
        return self

    def __next__(self) -> Image:
        frame = self.read()
        if frame is None:
            raise StopIteration
        return frame

    def read(self) -> Image | None:
        """The next frame, or None at the end.

        Raises:
            CameraError: a live source stopped, or a picture is damaged.
        """
        if self._reader is None:
            return None
        frame: Frame | None = self._reader.read()
        if frame is None:
            return None
        self.index, self.time_s, self.name = self.index + 1, frame.time_s, frame.name
        return frame.image

    @property
    def dropped(self) -> int:
        return self._latest.dropped if self._latest else 0

    @property
    def note(self) -> str:
        return self._source.note

    def close(self) -> None:
        """Give the camera back. More reads give None."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Camera {self.name} {self.size[0]}x{self.size[1]} {self.fps:g} fps{' live' if self.live else ''}>"
