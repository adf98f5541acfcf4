"""Sizes are agreed: a growth over 5 % fails until tests/sizes.toml says so. Run as a program, it prints them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
GROWTH = 1.05
LIMITS = {"runtime_library": 500_000, "wheel": 1_500_000}  # bytes; promised, whatever sizes.toml says

AGREED_HERE = platform.machine() == "x86_64" and sys.platform == "linux"
pytestmark = pytest.mark.skipif(not AGREED_HERE, reason="sizes are agreed for x86-64 Linux")


def agreed() -> dict[str, int]:
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    table: dict[str, int] = toml.loads((ROOT / "tests" / "sizes.toml").read_text())["x86_64"]
    return table


def runtime_library(libtody: Path, folder: Path) -> int:
    """Everything in the runtime as one stripped shared library."""
    out = folder / "libtody.so"
    command = ["cc", "-shared", "-s", "-o", out, "-Wl,--whole-archive", libtody, "-Wl,--no-whole-archive"]
    subprocess.run(command, check=True, capture_output=True)
    return out.stat().st_size


def wheel(folder: Path) -> int:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("tody-*.whl")).stat().st_size


def check(name: str, size: int) -> None:
    print(f"{name}: {size:,} bytes, agreed {agreed()[name]:,}")
    assert size <= LIMITS[name]
    assert size <= agreed()[name] * GROWTH, f"{name} grew to {size:,} bytes: find out why, or agree to it in tests/sizes.toml"


@pytest.mark.skipif(not shutil.which("cc"), reason="cc is not installed")
def test_runtime_library(libtody: Path, tmp_path: Path) -> None:
    check("runtime_library", runtime_library(libtody, tmp_path))


def test_wheel(tmp_path: Path) -> None:
    check("wheel", wheel(tmp_path))


def test_source_distribution(tmp_path: Path) -> None:
    """Of a tree in which was worked: what a wheel is built of, and nothing that was built."""
    pytest.importorskip("scikit_build_core")
    code = f"from scikit_build_core.build import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"runtime/include/tody.h", "ports/posix/pool.c", "sdk/tody/_runtime.pyx", "sdk/tody/_runtime.pxd"} <= names
    assert not [name for name in names if name.startswith(("build/", "tests/")) or name.endswith(".so")]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-s"]))
