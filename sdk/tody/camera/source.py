"""What a source of frames is, and the lazy import of OpenCV."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError, MissingExtraError, UsageError

Image = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    """A picture uint8 [height, width, 3] in BGR order, its time in seconds from the start, and where it is from."""

    image: Image
    time_s: float
    name: str


@dataclass(frozen=True)
class Options:
    """What the user asked of a source. `timeout_s` bounds opening and the wait for one frame."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    loop: bool = False
    timeout_s: float = 5.0

    def only_for_cameras(self, name: str) -> None:
        """Refuse, rather than ignore, what a file cannot do."""
        if self.width or self.height or self.fps:
            raise UsageError(
                f"{name} has its own size and rate", "width, height and fps are asked of cameras only", "leave them out"
            )

    def only_for_files(self, name: str) -> None:
        if self.loop:
            raise UsageError(f"{name} is live and cannot be looped", "loop is for files", "leave it out")


class Source(Protocol):
    """An opened source. A live one cannot wait for its reader; any other gives every frame."""

    live: bool
    ends: bool  # whether `read` may come to an end; a camera that does was unplugged
    size: tuple[int, int]  # width, height; (0, 0) where it differs from frame to frame
    fps: float  # as the source says; 0 where it does not
    note: str  # why it ended early, if it did

    def read(self) -> Frame | None:
        """The next frame, or None at the end. May block for `timeout_s`."""
        ...

    def close(self) -> None: ...


def opencv() -> Any:
    """The module cv2, with the chatter of its back ends turned off.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_VIDEOIO_DEBUG", "0")
    try:
        import cv2
    except ImportError as e:
        raise MissingExtraError("opencv-python", "camera") from e
    return cv2


def public_name(uri: str) -> str:
    """A URI without the password in it, for messages."""
    return re.sub(r"//[^/@]*@", "//", uri)


def within(seconds: float, work: Callable[[], T], discard: Callable[[T], None], name: str) -> T:
    """The result of `work`, done in a thread so that a driver that hangs cannot hang the program.

    A result that comes too late is given to `discard`.

    Raises:
        CameraError: it took longer than `seconds`.
        Exception: whatever `work` raised.
    """
    import threading

    lock = threading.Lock()
    done = threading.Event()
    state: dict[str, Any] = {"late": False}

    def body() -> None:
        try:
            result = work()
        except Exception as e:
            state["error"] = e
        else:
            with lock:
                if state["late"]:
                    discard(result)
                state["result"] = result
        done.set()

    threading.Thread(target=body, daemon=True, name="tody-open").start()
    if not done.wait(seconds):
        with lock:
            state["late"] = "result" not in state
    if "error" in state:
        raise state["error"]
    if state["late"]:
        raise CameraError(
            f"{name} does not answer", f"nothing came within {seconds:g} s", "check the cable, the address and the network"
        )
    result: T = state["result"]
    return result
