"""The binding, operators and vision once more, built with the address and undefined-behaviour sanitizers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from targets import ROOT, sanitized

pytestmark = pytest.mark.long
FLAGS = "-g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer"
SUITES = ["tests/ops", "tests/vision", "tests/format/coded_test.py"]
SUITES += ["tests/sdk/run/model_test.py", "tests/sdk/run/load_test.py"]


def run(*command: str | Path, **env: str) -> str:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    return output


@pytest.fixture(scope="module")
def package() -> Path:
    """A copy of the package with sanitized modules; the folder to put on PYTHONPATH."""
    built = sanitized() / "package"
    shutil.rmtree(built / "sdk", ignore_errors=True)
    shutil.copytree(ROOT / "sdk", built / "sdk", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for module in built.glob("_*.so"):
        shutil.copy(module, built / "sdk" / "tody")
    return built / "sdk"


@pytest.mark.skipif(sys.platform != "linux", reason="preloads the sanitizers the Linux way")
def test_nothing_is_found(package: Path) -> None:
    libraries = [run("gcc", f"-print-file-name=lib{name}.so").strip() for name in ("asan", "ubsan")]
    if not all(map(os.path.exists, libraries)):
        pytest.skip("gcc has no sanitizer libraries")
    env = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves much to the end of the process
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(package),
    }
    where = run(sys.executable, "-c", "import tody._runtime as r; print(r.__file__)", **env)
    assert str(package) in where
    output = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES, **env)
    assert " passed" in output


@pytest.mark.skipif(sys.platform != "linux", reason="preloads the sanitizers the Linux way")
def test_the_sanitizer_is_awake(package: Path, tmp_path: Path) -> None:
    """A library with an overflow, loaded the same way, must be caught."""
    source, library = tmp_path / "over.c", tmp_path / "over.so"
    source.write_text("int over(int n) { int a[4] = {0}; return a[n]; }")
    run("gcc", *FLAGS.split(), "-shared", "-fPIC", "-o", library, source)
    asan = run("gcc", "-print-file-name=libasan.so").strip()
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).over(5)"
    env = {**os.environ, "LD_PRELOAD": asan, "ASAN_OPTIONS": "detect_leaks=0"}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True).returncode != 0
