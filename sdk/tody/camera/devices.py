"""Which cameras this machine has."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .csi import picamera2, rpicam

# linux/videodev2.h
_VIDIOC_QUERYCAP = 0x80685600
_QUERYCAP = struct.Struct("<16s32s32sIII12x")
_CAN_CAPTURE, _HAS_DEVICE_CAPS = 0x1 | 0x1000, 0x80000000  # single or multi planar


@dataclass(frozen=True)
class Found:
    """A camera: what to give to Camera, what it is, and why it cannot be used ("" if it can)."""

    source: str
    name: str
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def cameras() -> list[Found]:
    """Every V4L2 device that captures video and every libcamera camera. Opens no camera."""
    return [*_v4l2(), *_csi()]


def _v4l2() -> list[Found]:
    if sys.platform != "linux":
        return []
    nodes = sorted(Path("/dev").glob("video[0-9]*"), key=lambda p: int(p.name[5:]))
    return [found for node in nodes if (found := _query(node))]


def _query(node: Path) -> Found | None:
    """None for a node that does not capture: encoders, decoders, metadata."""
    import fcntl

    answer = bytearray(_QUERYCAP.size)
    try:
        with open(node, "rb", buffering=0) as f:
            fcntl.ioctl(f, _VIDIOC_QUERYCAP, answer)
    except PermissionError:
        return Found(str(node), "?", "no permission: sudo usermod -aG video $USER, then log in again")
    except OSError as e:
        return Found(str(node), "?", e.strerror or str(e))
    _, card, _, _, can, device_can = _QUERYCAP.unpack(answer)
    if not (device_can if can & _HAS_DEVICE_CAPS else can) & _CAN_CAPTURE:
        return None
    return Found(str(node), card.split(b"\0")[0].decode(errors="replace"))


def _csi() -> list[Found]:
    module = picamera2()
    if module is None:
        return [Found("csi://0", "libcamera, through " + program)] if (program := rpicam()) else []
    return [Found(f"csi://{i}", str(info.get("Model", "?"))) for i, info in enumerate(module.Picamera2.global_camera_info())]
