"""The compiled modules keep to Python's limited API, which published wheels are built for."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = "0x030B0000"  # Python 3.11: wheel.py-api in pyproject.toml


@pytest.mark.skipif(not shutil.which("cc"), reason="cc is not installed")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="headers of Python 3.11 or newer are needed")
@pytest.mark.parametrize("module", ["_runtime", "_vision"])
def test_module_keeps_to_the_limited_api(module: str, tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="Cython is not installed")
    c = tmp_path / f"{module}.c"
    cython = [sys.executable, "-m", "cython", "-3", ROOT / "sdk" / "tody" / f"{module}.pyx", "-o", c]
    ours = ["runtime", "runtime/core", "runtime/include", "ports/posix"]
    folders = [sysconfig.get_paths()["include"], *(ROOT / folder for folder in ours)]
    compile_it = ["cc", "-fsyntax-only", "-Werror=implicit-function-declaration", f"-DPy_LIMITED_API={LIMIT}"]
    for command in (cython, [*compile_it, *(f"-I{f}" for f in folders), c]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
