"""Cameras on the ribbon cable of a Raspberry Pi: Picamera2, else the rpicam-vid program, else GStreamer's libcamerasrc."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
import time
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import CameraError
from .source import Frame, Options, Source, opencv
from .video import has_gstreamer, open_gstreamer

_SIZE, _FPS = (1280, 720), 30.0
_MOST_JPEG_BYTES = 1 << 26


class Picamera:
    """Picamera2, asked for BGR in memory (libcamera calls that order RGB888)."""

    live, ends, note = True, False, ""

    def __init__(self, module: Any, index: int, options: Options) -> None:
        self._name = f"csi://{index}"
        known = module.Picamera2.global_camera_info()
        if index >= len(known):
            raise CameraError(
                f"there is no {self._name}",
                f"libcamera finds {len(known)} cameras",
                "check the ribbon cable; rpicam-hello --list-cameras",
            )
        self.size, self.fps = (options.width or _SIZE[0], options.height or _SIZE[1]), options.fps or _FPS
        self._camera = module.Picamera2(index)
        main = {"size": self.size, "format": "RGB888"}
        self._camera.configure(self._camera.create_video_configuration(main=main, controls={"FrameRate": self.fps}))
        self._camera.start()
        self._start = time.monotonic()

    def read(self) -> Frame | None:
        image = np.ascontiguousarray(self._camera.capture_array("main")[:, :, :3])
        return Frame(image, time.monotonic() - self._start, self._name)

    def close(self) -> None:
        self._camera.close()


class Rpicam:
    """The program rpicam-vid (libcamera-vid before 2023), which writes one JPEG after another to a pipe."""

    live, ends, note = True, False, ""

    def __init__(self, program: str, index: int, options: Options) -> None:
        self._name, self._cv2 = f"csi://{index}", opencv()
        self.size, self.fps = (options.width or _SIZE[0], options.height or _SIZE[1]), options.fps or _FPS
        shape = f"--width {self.size[0]} --height {self.size[1]} --framerate {self.fps:g}"
        flags = f"--camera {index} --nopreview --timeout 0 --codec mjpeg {shape} -o -"
        self._process = subprocess.Popen([program, *flags.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._bytes = bytearray()
        self._start = time.monotonic()
        if self.read() is None:
            self.close()
            raise CameraError(
                f"{self._name} gives no frame", f"{program} ended", "check the ribbon cable; rpicam-hello --list-cameras"
            )

    def read(self) -> Frame | None:
        data = self._next_jpeg()
        image = None if data is None else self._cv2.imdecode(np.frombuffer(data, np.uint8), self._cv2.IMREAD_COLOR)
        return None if image is None else Frame(image, time.monotonic() - self._start, self._name)

    def _next_jpeg(self) -> bytes | None:
        """The bytes up to the next end marker: in a scan FF D9 stands for nothing else, and rpicam-vid embeds no preview."""
        assert self._process.stdout
        seen = 0
        while (end := self._bytes.find(b"\xff\xd9", max(0, seen - 1))) < 0:
            seen = len(self._bytes)
            chunk = self._process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not chunk or seen > _MOST_JPEG_BYTES:
                return None
            self._bytes += chunk
        data = bytes(self._bytes[: end + 2])
        del self._bytes[: end + 2]
        return data

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def open_csi(uri: str, options: Options) -> Source:
    """`csi://0`: the first way that this machine has.

    Raises:
        CameraError: it has none, or no such camera.
    """
    options.only_for_files(uri)
    number = uri.removeprefix("csi://") or "0"
    if not number.isdecimal():
        raise CameraError(f"{uri} cannot be understood", "the number of the camera follows csi://", "csi://0")
    if module := picamera2():
        return Picamera(module, int(number), options)
    program = rpicam()
    if program:
        return Rpicam(program, int(number), options)
    if has_gstreamer():
        return open_gstreamer("gst:libcamerasrc ! video/x-raw,width=1280,height=720", options)
    why = "neither picamera2 nor rpicam-vid nor GStreamer is here"
    raise CameraError(f"{uri} cannot be opened", why, "on a Raspberry Pi: sudo apt install rpicam-apps, or python3-picamera2")


def picamera2() -> Any:
    """The module, or None."""
    try:
        return import_module("picamera2")
    except ImportError:
        return None


def rpicam() -> str | None:
    """The program that reads libcamera's cameras, under its new or its old name."""
    return shutil.which("rpicam-vid") or shutil.which("libcamera-vid")
