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
