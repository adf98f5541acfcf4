"""tests/fuzz/vision.c for a few seconds: hostile shapes, parameters and values under the sanitizers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "-g -O1 -std=gnu11 -ffp-contract=off -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all".split()
SOURCES = [ROOT / "tests/fuzz/vision.c", *sorted((ROOT / "runtime/vision").glob("*.c"))]


def build(tmp_path: Path, sources: list[Path]) -> Path:
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        pytest.skip("no C compiler")
    program = tmp_path / "vision"
    folders = [f"-I{ROOT / folder}" for folder in ("runtime", "runtime/include", "runtime/vision")]
    done = subprocess.run([compiler, *FLAGS, *folders, *sources, "-lm", "-o", program], capture_output=True, text=True)
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert done.returncode == 0, done.stderr
    return program


def test_nothing_is_found(tmp_path):
    done = subprocess.run([build(tmp_path, SOURCES), "60000", "7"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "no finding" in done.stdout


def test_a_planted_fault_is_found(tmp_path):
    """A decoder that believes one head of a pair fits when the other does not reads outside it."""
    sound = (ROOT / "runtime/vision/dfl.c").read_text()
    fault = sound.replace("view.count == cells ? view : none", "view.count ? view : none")
    assert fault != sound
    (tmp_path / "dfl.c").write_text(fault)
    sources = [s for s in SOURCES if s.name != "dfl.c"] + [tmp_path / "dfl.c"]
    done = subprocess.run([build(tmp_path, sources), "300000", "1"], capture_output=True, text=True)
    assert done.returncode != 0
