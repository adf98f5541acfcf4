"""The C API from C, and its header alone in C and C++."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tody import format as tf

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parents[1] / "runtime"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def succeed(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def write_model(path: Path) -> None:
    """A 3x3 convolution of ones with padding, from 5x5x3 to 20 channels, then the largest value of all pixels."""
    weights = tf.pack_panels(np.ones((1, 20, 9, 3), np.float32))
    file = tf.File(weights=weights, arena_bytes=4096)
    file.tensors = [
        tf.Tensor("float32", (1, 5, 5, 3), "arena", 0),
        tf.Tensor("float32", (1, 20, 9, 3), "weights", 0, "panels", tile=4),
        tf.Tensor("float32", (1, 5, 5, 20), "arena", 512),
        tf.Tensor("float32", (1, 1, 1, 20), "arena", 3072),
    ]
    file.records = [
        tf.Record("conv", [0, 1], [2], {"kernel": (3, 3), "pad": (1, 1, 1, 1)}),
        tf.Record("pool", [2], [3], {"kernel": (5, 5), "kind": "max"}),
    ]
    file.inputs, file.outputs = [0], [3]
    path.write_bytes(tf.write(file))


def test_api(libtody: Path, tmp_path: Path) -> None:
    model, program = tmp_path / "model.tody", tmp_path / "api"
    write_model(model)
    includes = ["-I", RUNTIME, "-I", RUNTIME / "include", "-I", RUNTIME / "core"]
    succeed("cc", "-std=c11", *STRICT, *includes, HERE / "api.c", libtody, "-o", program)
    succeed(program, model)


@pytest.mark.parametrize(("compiler", "language"), [("cc", "c11"), ("cc", "c17"), ("c++", "c++11"), ("c++", "c++20")])
def test_header_stands_alone(compiler: str, language: str, tmp_path: Path) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    source = tmp_path / ("a.cpp" if "++" in language else "a.c")
    source.write_text('#include "tody.h"\nint main(void) { return tody_status_text(TODY_OK) == 0; }\n')
    succeed(compiler, f"-std={language}", *STRICT, "-I", RUNTIME / "include", "-fsyntax-only", source)
