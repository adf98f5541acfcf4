"""What tests share: the runtime built as C programs see it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def libtody() -> Path:
    """The static library of the freestanding runtime, by the system's compiler."""
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    build = ROOT / "build" / "tests" / "runtime"
    configure = ["cmake", "-S", ROOT / "runtime", "-B", build, "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", build, "-j", "2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "libtody.a"


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small converted detector that finds the figure of fake://door (examples/data/make_door.py)."""
    pytest.importorskip("onnx")
    from tody.convert import convert

    target = tmp_path_factory.mktemp("models") / "door.tody"
    bgr = {"pixels": "bgr", "mean": 0, "std": 1, "fit": "stretch"}
    convert(ROOT / "examples/data/door.onnx", target, preprocess=bgr, decoder="centernet", labels=["person"], score=0.5)
    return target
