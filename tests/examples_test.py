"""Every example, run as a user runs it, on the camera that is always there."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FASHION = Path("/usr/share/datasets/fashion-mnist")
NEEDS_OPENCV = {"02_camera.py"}
TRAINS = {"09_train_fashion.py"}  # without a model, but with PyTorch and a data set
# What follows the model on the command line, and what must be printed.
CASES: dict[str, tuple[list[str], str]] = {
    "01_hello_model.py": ([], "heat (1, 1, 24, 32) float32"),
    "02_camera.py": (["fake://door", "people.avi"], "1 person"),
    "03_count_people.py": (["fake://door"], "second 1: 1 people at most"),
    "04_door_alarm.py": (["fake://door"], "somebody is at the door"),
    "05_convert_yours.py": (["out.tody"], "its own test:"),
    "06_two_cameras.py": (["fake://door", "fake://shapes"], "fake://shapes: something in 0 of 100 frames"),
    "07_profile.py": ([], "ms in all"),
    "08_make_it_smaller.py": (["out.tody"], "the worst layer has"),
    "09_train_fashion.py": (["300"], "pruned 50 %"),
}


def test_every_example_is_tested() -> None:
    assert {p.name for p in EXAMPLES.glob("*.py")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_it_is_short(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("#", '"""'))]
    assert len(code) <= 25


@pytest.mark.parametrize("name", CASES)
def test_it_runs(name: str, door: Path, tmp_path: Path) -> None:
    if name in NEEDS_OPENCV:
        pytest.importorskip("cv2")
    if name in TRAINS:
        pytest.importorskip("torch", reason="the extra [train] is not installed: pip install torch")
        if not FASHION.is_dir():
            pytest.skip(f"{FASHION} is not there: apt-get install dataset-fashion-mnist")
    arguments, printed = CASES[name]
    model = EXAMPLES / "data" / "door.onnx" if "out.tody" in arguments else door
    command = [sys.executable, str(EXAMPLES / name), *([] if name in TRAINS else [str(model)]), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # two threads that wait for one core take many times as long
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
