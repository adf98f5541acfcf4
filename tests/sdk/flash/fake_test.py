"""Flashing as its user sees it, on the device that is always there."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from tody import format
from tody.errors import AccuracyError, DeviceError, MemoryLimitError, ModelError, TrustError, UsageError
from tody.flash import blocks, cbor, fake, fits
from tody.flash.client import Refused
from tody.flash.device import Device
from tody.flash.server import Server


@pytest.fixture
def device() -> Device:
    return Device("fake://board")


def changed(path: Path, target: Path, change: Any) -> Path:
    """A copy of a model with its content changed."""
    file = format.read(path.read_bytes())
    change(file)
    target.write_bytes(format.write(file))
    return target


def test_flash_by_iteration(device: Device, kws: Path) -> None:
    steps = list(device.flashing(str(kws)))
    uploads = [s for s in steps if s.stage == "upload"]
    assert [s.stage for s in steps if s.stage != "upload"] == ["check", "check", "activate", "test", "test", "done"]
    assert [s.done for s in uploads] == sorted(s.done for s in uploads)
    assert uploads[-1].done == uploads[-1].total == kws.stat().st_size
    report = steps[-1].report
    assert report and (report.state, report.error, report.already) == ("confirmed", 0.0, False)
    again = device.flash(str(kws), verify=True)
    assert again.already and again.sent < 400


def test_runs_there_as_here(device: Device, kws: Path) -> None:
    device.flash(str(kws))
    model = tody.load(kws)
    x = np.random.default_rng(1).normal(size=model.inputs[0].shape).astype(np.float32)
    assert np.array_equal(device.run(model, x), model(x))
    assert [layer.name for layer in device.profile()] == list(model.runtime.op_names)
    assert device.need()["ops"] == len(model.runtime.op_names)


def test_head_only_change_sends_little(device: Device, kws: Path, tmp_path: Path) -> None:
    def head(file: format.File) -> None:
        last = max((t for t in file.tensors if t.place == "weights" and t.dtype == "int8"), key=lambda t: t.at)
        weights = bytearray(file.weights)
        weights[last.at : last.at + last.bytes] = bytes(b ^ 1 for b in weights[last.at : last.at + last.bytes])
        file.weights = bytes(weights)
        del file.meta["golden"]

    device.flash(str(kws))
    other = changed(kws, tmp_path / "head.tody", head)
    size = other.stat().st_size
    report = device.flash(str(other), verify=True)
    assert report.copied > 0.8 * size and report.state == "confirmed"
    assert report.sent < 0.4 * size  # of 10 kB; what large ones send is in docs/flash.md


def test_blocks_that_moved_are_found() -> None:
    dice = random.Random(3)
    old = dice.randbytes(20_000)
    new = dice.randbytes(48) + old[:5000] + dice.randbytes(168) + old[7168:]
    checksums = [zlib.crc32(old[i : i + 256]) for i in range(0, len(old) - 255, 256)]
    copies = blocks.find(new, checksums, 256)
    assert sum(c.size for c in copies) > 16_000
    for c in copies:
        assert new[c.at : c.at + c.size] == old[c.source : c.source + c.size]
    assert all(a.at + a.size <= b.at for a, b in pairwise(copies))


def test_a_lying_checksum_costs_a_second_upload(
    device: Device, kws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.flash(str(kws))
    other = changed(kws, tmp_path / "other.tody", lambda f: f.meta.update(name="other"))
    monkeypatch.setattr(blocks, "find", lambda data, *_: [blocks.Copy(256, 1024, 256)])
    assert device.flash(str(other)).state == "confirmed"


def test_repeats_are_counted_for_each_flash(device: Device, kws: Path) -> None:
    device.client.again = 7
    assert device.flash(str(kws)).again == 0


def test_coded_files_are_unpacked_here(device: Device, kws: Path, tmp_path: Path) -> None:
    coded = tmp_path / "coded.tody"
    coded.write_bytes(format.write(format.read(kws.read_bytes()), coded=True))
    assert coded.stat().st_size < kws.stat().st_size
    assert device.flash(str(coded)).file_bytes == kws.stat().st_size


def test_names_of_models(device: Device, kws: Path) -> None:
    assert device.model_name(0) == ""
    slot = device.flash(str(kws)).slot or 0
    assert device.model_name(slot) == tody.load(kws).name
    device.line._device.shelf.places[slot].data = b"TODY" + bytes(300)  # type: ignore[attr-defined]
    assert device.model_name(slot) == ""


def test_not_activated(device: Device, kws: Path) -> None:
    report = device.flash(str(kws), activate=False)
    assert report.state == "ready" and device.running() is None
    device.activate(report.slot or 0)
    running = device.running()
    assert running is not None and running.state == "trial"
    device.confirm()


def test_what_does_not_fit_is_not_sent(device: Device, kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = kws.read_bytes()
    info = device.info
    assert not fits.problems(data, info, device.operators())
    small = fits.Info(**{**info.__dict__, "slot_bytes": 1000, "arena_bytes": 1000, "format": (0, 9)})
    found = fits.problems(data, small, ["conv"])
    assert len(found) == 4 and "operators" in found[2] and "dense" in found[2]
    monkeypatch.setattr(fake, "ARENA_BYTES", 2000)
    other = Device("fake://board")
    with pytest.raises(MemoryLimitError, match="2,000"):
        other.flash(str(kws))
    assert all(s.state == "empty" for s in other.slots())


def test_the_device_itself_decides(kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "require", lambda *_: None)
    monkeypatch.setattr(fake, "ARENA_BYTES", 2000)
    device = Device("fake://board")
    with pytest.raises(MemoryLimitError, match="RAM"):
        device.flash(str(kws))
    assert device.running() is None


def test_failed_self_test_goes_back(device: Device, kws: Path, tmp_path: Path) -> None:
    def wrong(file: format.File) -> None:
        file.meta["name"] = "wrong"
        file.blob = bytes(255 - b for b in file.blob)

    device.flash(str(kws))
    before = device.running()
    with pytest.raises(AccuracyError, match="self-test"):
        device.flash(str(changed(kws, tmp_path / "wrong.tody", wrong)))
    after = device.running()
    assert before and after and after.sha256 == before.sha256


def test_damaged_flash_is_noticed(device: Device, kws: Path) -> None:
    report = device.flash(str(kws))
    slot = device.line._device.shelf.places[report.slot or 0]  # type: ignore[attr-defined]
    slot.data = slot.data[:5000] + bytes([slot.data[5000] ^ 1]) + slot.data[5001:]
    with pytest.raises(TrustError, match="flash holds other bytes"):
        device.flash(str(kws), verify=True)


def test_damaged_files_are_not_sent(device: Device, kws: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tody"
    bad.write_bytes(kws.read_bytes()[:-1])
    with pytest.raises(ModelError):
        device.flash(str(bad))
    with pytest.raises(UsageError):
        device.flash(str(tmp_path / "none.tody"))
    assert device.line.sent == 0


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ((65, 0, 1), {"ops": ["conv"] * 9000, "n": 1 << 60}),
        ((1, 2, 1), {"off": 64}),
        ((65, 0, 7), {"off": 0, "n": 1 << 60, "data": b"x"}),
        ((65, 0, 9), {"name": "conv", "us": 1, "n": 1 << 60}),
    ],
)
def test_a_device_without_end(device: Device, kws: Path, key: tuple[int, int, int], answer: Any) -> None:
    """Answers that promise more for ever come to an end."""
    if key[0] == 65 and key[2] > 1:
        device.flash(str(kws))
    device.line._device.buffer_bytes = 1 << 16  # type: ignore[attr-defined]
    device.line._device.commands[key] = lambda _: answer  # type: ignore[attr-defined]
    if key == (65, 0, 9):
        assert len(device.profile()) == 1 << 16
        return
    with pytest.raises((DeviceError, MemoryLimitError)):
        if key == (65, 0, 7):
            device.run(tody.load(kws), np.zeros(tody.load(kws).inputs[0].shape, np.float32))
        device.flash(str(kws))


def test_nonsense_to_a_device(device: Device, kws: Path) -> None:
    """Whatever a laptop asks, a server in Python answers: half of the arguments are those that belong there."""
    device.flash(str(kws))
    server, dice = device.line._device, random.Random(6)  # type: ignore[attr-defined]
    keys = "off len sha data slot n from i seed low high stride op most hash sec d".split()
    values = [0, 1, -1, 256, 1 << 40, 1 << 63, 0.5, float("inf"), b"", bytes(32), b"x" * 300, "text", None, True, [], {"a": 1}]
    refused = 0
    for _ in range(5000):
        group, op, command = dice.choice(list(server.commands))
        body = cbor.encode({key: dice.choice(values) for key in dice.sample(keys, dice.randrange(8))})
        if dice.random() < 0.1:
            body = dice.randbytes(dice.randrange(30))
        answer = server.answer(bytes([8 | op, 0, 0, len(body) % 256, 0, group, 1, command]) + body)
        said = cbor.decode(answer[8:])
        assert answer[0] == (8 | op) + 1 and isinstance(said, dict)
        refused += "rc" in said
    assert 1000 < refused < 4500
    assert server.answer(b"short") == b"" and server.answer(bytes([9, 0, 0, 0, 0, 0, 0, 0])) == b""


def rc(server: Server, group: int, op: int, command: int, body: bytes) -> int:
    """The number of the error that a server answers with; 0: none."""
    return int(cbor.decode(server.answer(bytes([8 | op, 0, 0, 0, 0, group, 1, command]) + body)[8:]).get("rc", 0))


def test_what_a_server_cannot_say(device: Device, kws: Path) -> None:
    """Answers that no packet holds, and numbers that no CBOR of ours holds, are refused."""
    device.flash(str(kws))
    server = device.line._device  # type: ignore[attr-defined]
    assert rc(server, 0, 2, 0, b"\xa1ad\xfb" + struct.pack(">d", 1e300)) == 3
    halves = b"\xf9\x3c\x00" * 20000
    assert rc(server, 0, 2, 0, b"\xa1ad\x99" + struct.pack(">H", 20000) + halves) == 7
    server._part = lambda data, v: {"data": bytes(1 << 17)}
    assert rc(server, 65, 0, 7, cbor.encode({"i": 0, "off": 0, "most": -1})) == 7


@pytest.mark.parametrize("value", [True, 0.5, float("inf"), -1, 1 << 32, None])
@pytest.mark.parametrize("key", ["len", "sec"])
def test_numbers_that_are_none(device: Device, key: str, value: Any) -> None:
    """They would be kept."""
    server = device.line._device  # type: ignore[attr-defined]
    announced = {"off": 0, "len": 300, "sha": bytes(32), "data": b"x", key: value}
    assert rc(server, 1, 2, 1, cbor.encode(announced)) == 3
    assert [s["state"] for s in server.shelf.slots()] == ["empty", "empty"]


def test_a_model_that_does_not_open_is_not_the_end(device: Device, kws: Path) -> None:
    """A server starts without it, says so, and takes another one."""
    device.flash(str(kws))
    shelf = device.line._device.shelf  # type: ignore[attr-defined]
    shelf.current.data = bytes(100)
    device.line._device = Server(shelf, "board", "none", fake.ARENA_BYTES)  # type: ignore[attr-defined]
    server = device.line._device  # type: ignore[attr-defined]
    assert device.running() is None and server.info({})["safe"]
    with pytest.raises(Refused):
        device.run_once()
    with pytest.raises(ModelError, match="does not open"):
        device.flash(str(kws))
    sha = shelf.current.sha
    assert rc(server, 1, 2, 0, cbor.encode({"hash": sha})) == 6
    shelf.current.sha = bytes([1] * 32)
    device.flash(str(kws))
    assert device.run_once() >= 0


def test_nonsense_from_a_device(device: Device, kws: Path) -> None:
    """Answers of other types than promised end as errors of the device."""
    commands: dict[Any, Any] = device.line._device.commands  # type: ignore[attr-defined]
    for key, sound in list(commands.items()):
        for nonsense in ({}, {"off": "x", "slots": [{}], "images": 1, "ops": 3, "crc": b"", "block": 0, "us": None}):
            commands[key] = lambda _, nonsense=nonsense: nonsense
            other = Device("fake://board")
            other.line._device.commands = dict(commands)  # type: ignore[attr-defined]
            try:
                other.flash(str(kws), verify=True)
                other.profile()
            except (DeviceError, TrustError, AccuracyError, MemoryLimitError, UsageError):
                pass
        commands[key] = sound
