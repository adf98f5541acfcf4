"""Reading ONNX files: nothing is believed without its bytes, and every error is a clear one."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx_models as om

from onnx import TensorProto
from tody.convert.onnx import import_onnx, load_onnx
from tody.errors import ModelError, TodyError, UsageError

# Files


def test_no_such_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        load_onnx(tmp_path / "nix.onnx")
    with pytest.raises(UsageError, match="folder"):
        load_onnx(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 200])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX file"):
        load_onnx(path)


def test_lfs_pointer(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(ModelError, match="LFS"):
        load_onnx(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = om.conv_model().SerializeToString()
    path = tmp_path / "m.onnx"
    for size in range(0, len(content) - 1, 7):
        path.write_bytes(content[:size])
        with pytest.raises(TodyError):
            import_onnx(load_onnx(path))


def test_oversized_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as stream:
        stream.truncate((1 << 31) + 1)  # sparse: takes no room on the disk
    with pytest.raises(ModelError, match="2 GiB"):
        load_onnx(path)


@pytest.mark.parametrize("dims", [[4, 3, 3, 4], [1 << 40, 1 << 40], [-4, 3, 3, 3], [4, 3, 3]])
def test_tensor_without_its_bytes(tmp_path: Path, dims: list[int]) -> None:
    model = om.conv_model()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    onnx_file = tmp_path / "m.onnx"
    onnx_file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="tensor w is damaged"):
        load_onnx(onnx_file)


def test_mutations_only_raise_our_errors(tmp_path: Path) -> None:
    chance = random.Random(5)
    content = om.conv_model().SerializeToString()
    path = tmp_path / "m.onnx"
    for _ in range(300):
        data = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            import_onnx(load_onnx(path))
        except TodyError as e:
            assert e.what and e.exit_code in (2, 4)


# External data


def external(folder: Path, location: str, **entries: Any) -> Path:
    model = om.conv_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(bytes(64) + om.WEIGHTS.tobytes() + bytes(9))
    model = load_onnx(external(tmp_path, "data/w.bin", offset=64, length=om.WEIGHTS.nbytes))
    x = om.RANDOM.standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(om.run(model, x)[0], om.expected(om.conv_model(), x=x)[0], rtol=1e-4, atol=1e-5)


def test_external_data_cannot_leave_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(om.WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    for location in ("../secret", str(secret), "link", "a/../../secret", ""):
        with pytest.raises(ModelError, match="outside the model's folder"):
            load_onnx(external(folder, location))


def test_external_data_needs_a_path(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(om.WEIGHTS.tobytes())
    model = om.conv_model()
    model.ParseFromString(external(tmp_path, "w.bin").read_bytes())
    with pytest.raises(ModelError, match="in another file"):
        import_onnx(model)


def test_external_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file w"):
        load_onnx(external(tmp_path, "w.bin"))
    (tmp_path / "w.bin").write_bytes(om.WEIGHTS.tobytes()[:-1])
    with pytest.raises(ModelError):
        load_onnx(external(tmp_path, "w.bin"))
    for entries in ({"offset": -4}, {"offset": 1 << 60}, {"length": 1 << 60}, {"offset": "x"}):
        with pytest.raises(ModelError):
            load_onnx(external(tmp_path, "w.bin", **entries))
