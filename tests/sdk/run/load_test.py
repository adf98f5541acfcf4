"""tody.load: what it refuses and how, threads, kernel sets, precision, and what importing costs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import X, dense_file, relu_dense

import tody
from tody import format
from tody._runtime import cpu_features, kernel_sets
from tody.errors import ModelError, UsageError


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open"):
        tody.load(tmp_path / "nothing.tody")
    with pytest.raises(UsageError, match="cannot open"):
        tody.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"TOD", b"\x08\x07\x12\x07pytorch" * 9, b"TODY" + bytes(200)])
def test_what_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "x.onnx"
    target.write_bytes(content)
    with pytest.raises(ModelError):
        tody.load(target)


def test_onnx_file_gets_a_hint(tmp_path: Path) -> None:
    target = tmp_path / "face.onnx"
    target.write_bytes(b"\x08\x07" * 100)
    with pytest.raises(ModelError, match=r"tody convert .*face.onnx"):
        tody.load(target)


def test_another_version_and_truncation(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(ModelError):
        tody.load(data[:4] + struct.pack("<HH", 9, 0) + data[8:])
    for size in (4, 100, 128, len(data) - 1):
        with pytest.raises(ModelError):
            tody.load(data[:size])


def test_unsound_operator_is_named() -> None:
    file = dense_file()
    file.tensors[2] = format.Tensor("float32", (2, 4), "arena", 64)
    with pytest.raises(ModelError, match=r"operator 0, dense"):
        tody.load(format.write(file))


def test_verify_reads_the_weights(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = format.read_header(bytes(data)).weights_at
    data[at] ^= 1
    tody.load(bytes(data))
    with pytest.raises(ModelError):
        tody.load(bytes(data), verify=True)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_wrong_thread_counts(path: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 256"):
        tody.load(path, threads=threads)


def test_kernel_sets(path: Path) -> None:
    assert kernel_sets()[0] == "portable"
    assert isinstance(cpu_features(), list)
    for name in kernel_sets():
        model = tody.load(path, threads=1, kernels=name)
        assert model.runtime.kernels == name
        np.testing.assert_allclose(model(X), relu_dense(X), rtol=1e-6)
    with pytest.raises(UsageError, match="portable"):
        tody.load(path, kernels="z80")


def test_precision_is_float32_unless_asked(path: Path) -> None:
    """float16 arithmetic where it is demanded and there, refused where it is not; "auto" takes what there is."""
    has = "neon-fp16" in cpu_features()
    assert tody.load(path).precision == "float32"
    half = tody.load(path, precision="auto")
    assert half.precision == ("float16" if has else "float32") and half.precision in half.describe()
    assert half.self_test() < 0.25
    with pytest.raises(UsageError, match="float32, float16, auto"):
        tody.load(path, precision="float99")
    if has:
        assert tody.load(path, precision="float16").runtime.f16
        return
    with pytest.raises(UsageError, match="cannot compute in float16"):
        tody.load(path, precision="float16")


def test_imports_are_quick() -> None:
    """`import tody` takes itself, importlib and typing; all else comes with the first use of a name."""
    code = "import __future__, importlib, sys, typing; known = set(sys.modules); import tody; print(*set(sys.modules) - known)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tody"]


def test_loading_imports_little() -> None:
    """What takes milliseconds to import would be a good part of the time to load a small model."""
    code = "import sys, numpy; known = set(sys.modules); import tody; tody.load; print(*(set(sys.modules) - known))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pathlib", "urllib.parse", "numpy.typing", "subprocess", "ctypes"} & set(done.stdout.split())


def test_package_lists_its_names() -> None:
    assert {"load", "Detector", "Camera", "__version__"} <= set(dir(tody))
    with pytest.raises(AttributeError):
        _ = tody.nothing
