"""The MLPerf Tiny models on emulated boards against this machine: firmware.py FOLDER_OF_TFLITE [INPUTS] [BOARD..].

The board rp2040 takes minutes for the smallest of them, and is not among those of default.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "firmware")]
from emulate import built, connect, machine

import tody
from tody.convert import convert
from tody.golden import splitmix64

BOARDS = ["mps2-an385", "mps2-an386", "mps2-an500", "mps3-an547", "riscv-virt"]


def inputs(model: tody.Model, pictures: list[Path], count: int) -> list[NDArray[np.generic]]:
    """Pictures where the model takes some, else numbers in the range of a microphone's or a spectrum's features."""
    port = model.inputs[0]
    if "preprocess" not in model.meta or not pictures:
        return [splitmix64(seed, port.shape, -100, 100, port.dtype) for seed in range(count)]
    import cv2

    found = []
    for path in (pictures * count)[:count]:
        sides = [d for d in port.shape if d > 3]
        pixels = cv2.resize(cv2.imread(str(path))[..., ::-1], (sides[1], sides[0]))
        wide = pixels.astype(np.float32) - (128 if port.dtype == "int8" else 0)
        found.append(wide.reshape(port.shape).astype(port.dtype))
    return found


def compare(name: str, sources: list[Path], pictures: list[Path], count: int) -> None:
    board = built(name)
    folder = Path(tempfile.mkdtemp())
    try:
        with machine(board, folder / "flash.img") as address, connect(address) as device:
            for source in sources:
                path = folder / f"{source.stem}.tody"
                convert(source, path)
                device.flash(str(path), timeout=3600.0)  # an emulator may be slower than any line
                model = tody.load(path, threads=1)
                samples, begin = inputs(model, pictures, count), time.monotonic()
                same = sum(device.run(model, x).tobytes() == np.asarray(model(x)).tobytes() for x in samples)
                need, seconds = device.need(), time.monotonic() - begin
                memory = f"arena {need['arena']:,}, scratch {need['scratch']:,}"
                print(f"{name:12} {source.stem:36} {same} of {len(samples)} alike; {memory}; {seconds:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    chosen = sys.argv[3:] or BOARDS
    photos = sorted((where.parent / "data").rglob("*.jpg"))
    for chosen_board in chosen:
        compare(chosen_board, sorted(where.glob("*_int8.tflite")), photos, int((sys.argv[2:] or ["20"])[0]))
