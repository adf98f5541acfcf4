"""What a device fetches that has the release before: the head of a fine-tuned model, a new name, all layers in int8."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
pytest.importorskip("onnx")
from net import Net
from simdevice import SimDevice
from zoo import inverted_net

import onnx
import tody
from onnx import numpy_helper
from tody import format
from tody.fleet.laptop import steer
from tody.fleet.laptop.laptop import make
from tody.fleet.laptop.push import push
from tody.fleet.laptop.signing import Owner
from tody.fleet.source import FolderSource

BLOCKS = [(64, 5, 2, False), (96, 3, 2, False), (96, 3, 1, False), (128, 3, 2, False), (128, 3, 1, False)]


def network() -> onnx.ModelProto:
    """A MobileNetV2 of 360,000 weights with ten classes."""
    return inverted_net(64, Net.relu6, BLOCKS, 3)


def tuned(model: onnx.ModelProto, only_head: bool) -> onnx.ModelProto:
    """After a training that moved each weight by about a fiftieth of what weights of its tensor are."""
    later = onnx.ModelProto()
    later.CopyFrom(model)
    weights = [tensor for tensor in later.graph.initializer if tensor.data_type == 1 and len(tensor.dims) >= 2]
    for i, tensor in enumerate(weights[-1:] if only_head else weights):
        data = numpy_helper.to_array(tensor)
        moved = data + np.random.default_rng(i).normal(0, 0.02 * data.std(), data.shape)
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))
    return later


class Counted(FolderSource):
    """Counts the bytes of chunks and documents that are read from a stick."""

    bytes = 0

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        found = super().read(paths)
        Counted.bytes += sum(len(content or b"") for path, content in found.items() if path.startswith("blob/"))
        return found


def fetched(old: Path, new: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """The share of the new model's bytes that a device with the old one fetches, the signed documents included."""
    laptop = make(folder / "home", "home", lambda purpose: "door", ["doors"], "mqtt://localhost")
    laptop.devices["door-0"] = "doors"
    owner = Owner(laptop, lambda purpose: "door", to=folder / "stick")
    monkeypatch.setattr("tody.fleet.device.world.FolderSource", Counted)
    with SimDevice(laptop, "door-0", folder, stick=folder / "stick") as device:
        for model in (old, new):
            plan = push(
                owner, model, "doors", lambda b, m, d: steer.roll_out(b, "doors", m, d, steer.Terms((1.0,), window_s=0))
            )
            Counted.bytes = 0
            device.look_and_act()
            assert device.state.active == plan.release.model
    assert plan.send[1] <= Counted.bytes
    return Counted.bytes / plan.release.bytes


def converted(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path.with_suffix(".onnx"))
    tody.convert(path.with_suffix(".onnx"), path)
    return path


def test_a_new_head_and_a_new_name_send_less_than_a_hundredth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = converted(network(), tmp_path / "old.tody")
    new = converted(tuned(network(), only_head=True), tmp_path / "head.tody")
    assert fetched(old, new, tmp_path / "head", monkeypatch) <= 0.01
    file = format.read(old.read_bytes())
    file.meta["name"] = "the same under a longer name"
    (tmp_path / "name.tody").write_bytes(format.write(file))
    assert fetched(old, tmp_path / "name.tody", tmp_path / "name", monkeypatch) <= 0.01


def test_all_layers_in_int8_with_kept_scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(0, 1, (8, 3, 64, 64)).astype(np.float32)
    keep: dict[str, Any] = {"force": True, "effort": "fast"}
    before, after = network(), tuned(network(), only_head=False)
    tody.compress(before, data, tmp_path / "old.tody", **keep)
    tody.compress(after, data, tmp_path / "new.tody", like=before, **keep)
    assert fetched(tmp_path / "old.tody", tmp_path / "new.tody", tmp_path / "all", monkeypatch) <= 0.4
