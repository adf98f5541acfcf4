"""The loop that detect and classify share: frames in, results out, one line a second or a picture."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .arguments import add_model, add_runtime, address, count, positive, size
from .output import Output
from .telemetry import add_telemetry, telemetry

if TYPE_CHECKING:
    from ..camera import Camera, Screen
    from ..camera.source import Image


_KEPT = 10_000  # times that the median is taken of: a camera may run for weeks


class Result(Protocol):
    """What was found in a frame. As text: 2 person, 1 dog."""

    def as_dict(self) -> dict[str, Any]: ...

    def draw(self, frame: Image) -> Image: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "source", help="camera number, /dev/video0, csi://0, rtsp:// or http://, clip, picture, folder, fake://door"
    )
    parser.add_argument("--save", metavar="OUT", help="write what was found: a clip (.mp4, .avi), a picture, or a folder/")
    parser.add_argument("--show", action="store_true", help="show it in a window")
    parser.add_argument(
        "--web",
        type=address,
        metavar="[HOST]:PORT",
        help="show it on a page in a browser; :8080 can be seen by the whole network",
    )
    add_telemetry(parser)
    parser.add_argument("--every", type=count, default=1, metavar="N", help="look at every Nth frame only")
    parser.add_argument("--limit", type=count, metavar="N", help="end after N frames")
    parser.add_argument("--camera-size", type=size, metavar="WxH", help="size to ask of a camera")
    parser.add_argument("--fps", type=positive, metavar="N", help="rate to ask of a camera")
    add_runtime(parser)


def _refuse_to_overwrite(source: str, target: str) -> None:
    """What is read must not be written: the file itself, or the pictures of the folder.

    Raises:
        UsageError: `target` is among what `source` reads.
    """
    from ..camera.pictures import SUFFIXES
    from ..errors import UsageError

    read, written = Path(source).resolve(), Path(target).resolve()
    folder = read if read.is_dir() else read.parent if set(source) & set("*?[") else None
    among = written == folder or (written.parent == folder and written.suffix.lower() in SUFFIXES)
    if (read.exists() and written == read) or (folder is not None and among):
        raise UsageError(f"{target} cannot be written", f"it is what is read: {source}", "--save with another name")


@contextmanager
def _screens(args: argparse.Namespace, out: Output, fps: float) -> Iterator[list[Screen]]:
    """Every screen that was asked for, closed at the end in any case."""
    from ..camera import Screen

    targets = [args.save] if args.save else []
    targets += ["window"] if args.show else []
    targets += [args.web] if args.web else []
    with ExitStack() as stack:
        screens = [stack.enter_context(Screen(target, fps=fps)) for target in targets]
        for screen in screens:
            if screen.url:
                out.note(f"look at {screen.url}")
        yield screens


class _Meter:
    """Counts frames and prints a line for each second of a clip or camera, or for each picture."""

    def __init__(self, camera: Camera, out: Output) -> None:
        self._camera, self._out = camera, out
        self._start = time.monotonic()
        self._second, self._frames, self._busy = -1, 0, 0.0
        self.frames = 0
        self.ms: deque[float] = deque(maxlen=_KEPT)

    def add(self, result: Result, seconds: float) -> None:
        self.frames, self._frames, self._busy = self.frames + 1, self._frames + 1, self._busy + seconds
        self.ms.append(seconds * 1e3)
        camera = self._camera
        self._out.data(
            {"frame": camera.index, "time_s": round(camera.time_s, 3), "source": camera.name, "ms": round(seconds * 1e3, 3)}
            | result.as_dict()
        )
        if camera.fps == 0 and not camera.live:
            self._out.line(f"{camera.name}: {result}, {seconds * 1e3:.1f} ms")
        elif int(camera.time_s) != self._second:
            self._line(result)

    def _line(self, result: Result) -> None:
        camera = self._camera
        self._second = int(camera.time_s)
        lost = f", {camera.dropped} dropped" if camera.live else ""
        self._out.line(f"{self._second:4d} s  {result}, {self._busy / self._frames * 1e3:.1f} ms a frame{lost}")
        self._frames, self._busy = 0, 0.0

    def end(self) -> None:
        """What it came to."""
        if not self.frames:
            return
        seconds = time.monotonic() - self._start
        ms = sorted(self.ms)
        lost = f", {self._camera.dropped} dropped" if self._camera.live else ""
        median, p95 = ms[len(ms) // 2], ms[min(len(ms) - 1, len(ms) * 95 // 100)]
        frames = f"{self.frames} frame{'s' * (self.frames > 1)}"
        self._out.line(f"{frames} in {seconds:.1f} s: median {median:.1f} ms, 95% below {p95:.1f} ms{lost}")
        if self._camera.note:
            self._out.note(self._camera.note)


def watch(args: argparse.Namespace, out: Output, look: Callable[[Image], Result]) -> int:
    """Look at the frames of `args.source` until its end, the limit, or Ctrl-C."""
    from ..camera import Camera

    if args.save:
        _refuse_to_overwrite(args.source, args.save)
    width, height = args.camera_size or (None, None)
    with Camera(args.source, width=width, height=height, fps=args.fps) as camera:
        meter = _Meter(camera, out)
        try:
            with _screens(args, out, (camera.fps or 30.0) / args.every) as screens, telemetry(args, camera, out) as tell:
                for frame in camera:
                    if camera.index % args.every:
                        continue
                    start = time.perf_counter()
                    result = look(frame)
                    seconds = time.perf_counter() - start
                    tell(frame, result, seconds)
                    meter.add(result, seconds)
                    for screen in screens:
                        screen.show(frame, result)
                    if meter.frames == args.limit or any(s.closed for s in screens):
                        break
        finally:
            meter.end()
    return 0
