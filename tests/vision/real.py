"""Real detectors as their makers meant them, pictures and clips for them: in folders that TODY_MODELS and TODY_DATA name."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

MODELS, DATA = (Path(os.environ.get(name, "")) for name in ("TODY_MODELS", "TODY_DATA"))
NEEDED = pytest.mark.skipif(
    not (os.environ.get("TODY_MODELS") and os.environ.get("TODY_DATA")), reason="TODY_MODELS and TODY_DATA name no folders"
)

BLAZE = {"pixels": "rgb", "mean": 127.5, "std": 127.5, "fit": "letterbox", "pad": 0}
FACES = {"pixels": "rgb", "mean": 0, "std": 1, "fit": "letterbox", "pad": 0}
OBJECTS = {"pixels": "bgr", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395], "fit": "letterbox", "pad": 114}
# file, shapes, preprocess, labels, score, iou
CASES = {
    "nanodet_g_coco80_416": (None, OBJECTS, [f"class {i}" for i in range(80)], 0.35, 0.6),
    "centerface": ({"input.1": (1, 3, 480, 640)}, FACES, ["face"], 0.5, 0.3),
    "blazeface_back_256": (None, BLAZE, ["face"], 0.6, 0.3),
    "blazeface_front_128": (None, BLAZE, ["face"], 0.6, 0.3),
}


def frames(bikes=60, carphone=30, vtest=200):
    """Pictures, and one of so many frames of each clip."""
    import cv2

    for path in sorted((DATA / "photos").iterdir()):
        yield path.name, cv2.imread(str(path))
    for clip, step in (("bikes.mp4", bikes), ("carphone_pristine.mp4", carphone), ("vtest.avi", vtest)):
        video = cv2.VideoCapture(str(DATA / clip))
        for i in range(int(video.get(cv2.CAP_PROP_FRAME_COUNT))):
            good, image = video.read()
            if good and i % step == 0:
                yield f"{clip} {i}", image
