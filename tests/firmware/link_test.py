"""The link as its users see it: stock tools, uploads that are cut off, bad lines. On the host board and on a Cortex-M4."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import hashlib
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("serial")

from emulate import built, connect, machine, on_terminal
from noise import disturb
from quantised import quantised

import tody
from patience import HANG, PATIENCE
from tody import format
from tody.convert import convert
from tody.errors import AccuracyError, DeviceError, TrustError
from tody.flash import cbor, frame, pace
from tody.flash.client import IMAGE, OS, READ, TODY, WRITE, Late, Refused
from tody.flash.device import Device


@pytest.fixture(scope="module")
def kws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "kws.tody"
    convert(quantised("kws_dscnn"), path)
    return path


@pytest.fixture(scope="module")
def large(kws: Path) -> Path:
    """The same with 100 kB of data that nothing reads: enough for a journal to note how far its upload is."""
    file = format.read(kws.read_bytes())
    file.blob += random.Random(1).randbytes(100_000)
    path = kws.with_name("large.tody")
    path.write_bytes(format.write(file))
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """The address of a host board."""
    with machine(built("host"), tmp_path / "flash.img") as address:
        yield address


def smpmgr(address: str, *arguments: str) -> str:
    program = Path(sys.executable).with_name("smpmgr")
    found = str(program) if program.exists() else shutil.which("smpmgr")
    if not found:
        pytest.skip("smpmgr is not installed")
    done = subprocess.run([found, "--port", address, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["host", "mps2-an385", "mps2-an386", "mps2-an500", "mps3-an547", "riscv-virt"])
def test_stock_tools(name: str, kws: Path, tmp_path: Path) -> None:
    sha = hashlib.sha256(kws.read_bytes()).hexdigest().upper()
    with on_terminal(built(name), tmp_path / "flash.img") as port:
        with connect(f"serial:{port}"):  # it is up
            pass
        assert "r='hello'" in smpmgr(port, "os", "echo", "hello")
        smpmgr(port, "image", "upload", "--format", "any", str(kws))
        state = smpmgr(port, "image", "state-read")
        assert sha in re.sub(r"\s", "", state) and "active=False" in state
        smpmgr(port, "image", "state-write", sha, "--confirm")
        with connect(f"serial:{port}") as device:
            running = device.running()
            assert running and running.state == "confirmed"
            assert device.self_test(kws.read_bytes()) == 0.0


def test_stock_client(host: str, kws: Path) -> None:
    """smpclient's own upload, and what it makes of refusals."""
    smpclient = pytest.importorskip("smpclient")
    serial = pytest.importorskip("smpclient.transport.serial")
    image = pytest.importorskip("smpclient.requests.image_management")
    data = kws.read_bytes()

    async def talk() -> None:
        async with smpclient.SMPClient(serial.SMPSerialTransport(), host.removeprefix("serial:")) as client:
            refused = await client.request(image.ImageStatesWrite(hash=bytes(32)))
            assert refused.rc == 5
            offsets = [off async for off in client.upload(data)]
            assert offsets[-1] == len(data)
            (state,) = (await client.request(image.ImageStatesRead())).images
            assert state.hash == hashlib.sha256(data).digest() and not state.active
            await client.request(image.ImageErase(slot=state.slot))
            assert (await client.request(image.ImageStatesRead())).images == []
            large = await client.request(image.ImageUploadWrite(off=0, data=b"", image=0, len=1 << 30, sha=bytes(32)))
            assert large.rc == 3

    asyncio.run(talk())


@pytest.mark.parametrize(("name", "cuts"), [("host", 5), ("mps2-an386", 1)])
def test_uploads_that_are_cut_off_go_on(name: str, cuts: int, large: Path, tmp_path: Path) -> None:
    """The board loses power at random places of an upload; after its start the upload goes on where its journal says."""
    dice, size, board = random.Random(7), large.stat().st_size, built(name)
    for cut in range(cuts):
        flash, stop = tmp_path / f"{cut}.img", dice.randrange(size // 4, size)
        with machine(board, flash) as address, connect(address) as device:
            for step in device.flashing(str(large), diff=False):
                if step.stage == "upload" and step.done >= stop:
                    break
        with machine(board, flash) as address, connect(address) as device:
            report = device.flash(str(large), verify=True)
            assert report.state == "confirmed" and report.error == 0.0
            assert stop - (1 << 17) < report.resumed < size and report.resumed > 0


def test_unplugged_and_plugged_in_again(host: str, large: Path) -> None:
    """The line breaks, the board does not: each time the next program goes on."""
    dice, size = random.Random(8), large.stat().st_size
    for seed in range(4):
        with connect(host) as device:
            disturb(device, seed, cut=5000 + dice.randrange(size // 4))
            with pytest.raises(DeviceError, match="goes on where it was cut off"):
                device.flash(str(large))
    with connect(host) as device:
        report = device.flash(str(large), verify=True)
        assert report.state == "confirmed" and report.resumed > 0


@pytest.mark.parametrize("name", ["mps2-an386", "riscv-virt"])
def test_a_line_faster_than_the_board(name: str, kws: Path, tmp_path: Path) -> None:
    """Questions come while the board works on one that takes long: none is lost, because the line holds them back."""
    data, texts = kws.read_bytes(), [f"{i}" + "x" * 100 for i in range(8)]
    with machine(built(name), tmp_path / "flash.img") as address, connect(address) as device:
        device.flash(str(kws))
        again = {"off": 0, "len": len(data), "sha": hashlib.sha256(data).digest(), "data": b""}
        device.line.send(device.client._question(IMAGE, WRITE, 1, cbor.encode(again))[0])  # it hashes the file that it has
        for text in texts:
            device.line.send(device.client._question(OS, WRITE, 0, cbor.encode({"d": text}))[0])
        answers = [device.line.receive(PATIENCE) for _ in range(9)]
        said = [cbor.decode(a[8:]) if isinstance(a, bytes) else a for a in answers]
        assert said[0]["off"] == len(data) and said[1:] == [{"r": text} for text in texts]


@pytest.mark.parametrize("how", ["drop", "repeat", "flip"])
def test_bad_lines(how: str, host: str, kws: Path) -> None:
    """One byte of a hundred is lost, comes twice or is changed, both ways: byte-identical nevertheless."""
    with connect(host) as device:
        disturb(device, 5, **{how: 0.01})
        report = device.flash(str(kws), timeout=PATIENCE)
        assert report.state == "confirmed" and report.error == 0.0 and report.again > 100
        model = tody.load(kws, threads=1, kernels="portable")
        x = np.random.default_rng(1).normal(size=model.inputs[0].shape).astype(np.float32)
        assert np.array_equal(device.run(model, x), model(x))
    with connect(host) as device:
        assert device.flash(str(kws), verify=True).already


def test_lines_too_bad_end_in_time(host: str, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline holds, which is when 20 kB were sent, and the next try finds a board that can go on."""
    with connect(host) as device:
        disturb(device, 5, flip=0.01)
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * PATIENCE * (device.line.sent > 20_000))
        monkeypatch.setattr("tody.flash.client.time", clock)
        with pytest.raises(Late, match="damages about") as end:
            device.flash(str(large), timeout=2 * PATIENCE)
        assert end.value.exit_code == 6 and device.line.sent < 25_000
        monkeypatch.undo()
    with connect(host) as device:
        assert device.flash(str(large)).state == "confirmed"


def test_throughput_by_bytes_on_the_wire(host: str, kws: Path) -> None:
    """Both directions together, as a line at 115200 baud carries them one after the other."""
    with connect(host) as device:
        before = device.line.sent + device.line.received
        last = 0
        for step in device.flashing(str(kws), activate=False, diff=False):
            if step.stage == "upload":
                last = device.line.sent + device.line.received
        # A base64 line carries 93 bytes in 127: at most 73.2 % of a line is payload.
        assert kws.stat().st_size / (last - before) > 0.70 * 93 / 127


def test_console_text_passes(host: str) -> None:
    texts: list[str] = []
    with Device(host, texts.append) as device:
        pipe = device.line._pipe  # type: ignore[attr-defined]
        read, said = pipe.read, [b"hello from below\n"]
        pipe.read = lambda timeout: said.pop() if said else read(timeout)
        assert device.echo("x") == "x"
        said.append(b"one\r\ntwo\n")
        assert list(device.logs(0.2)) == ["one", "two"]
    assert texts == ["hello from below"]


def test_a_reset_in_the_middle(host: str, large: Path) -> None:
    """The board starts anew while the laptop is sending: the upload goes on in the same command."""
    with connect(host) as device:
        reset = False
        for step in device.flashing(str(large)):
            if not reset and step.stage == "upload" and step.done > 60_000:
                device.reset()
                reset = True
        assert reset and step.report and step.report.state == "confirmed"


def test_a_failed_self_test_goes_back(host: str, kws: Path, tmp_path: Path) -> None:
    file = format.read(kws.read_bytes())
    file.blob = bytes(255 - b for b in file.blob)
    wrong = tmp_path / "wrong.tody"
    wrong.write_bytes(format.write(file))
    with connect(host) as device:
        device.flash(str(kws))
        before = device.running()
        with pytest.raises(AccuracyError, match="self-test"):
            device.flash(str(wrong))
        after = device.running()
        assert before and after and before.sha256 == after.sha256
        assert [s.state for s in device.slots() if not s.running] == ["broken"]


def test_slots_are_told_one_by_one_on_a_bad_line(host: str, kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(host) as device:
        device.flash(str(kws))
        before, whole = device.line.received, device.slots()
        longest = device.line.received - before
        monkeypatch.setattr(device.client, "best", lambda overhead, limit: 1)
        before = device.line.received
        device.client.ask(TODY, READ, 2, {"off": 1, "most": 1}, "list the slots")
        assert device.line.received - before < 0.7 * longest
        assert device.slots() == whole and len(whole) == 2
        with pytest.raises(Refused):
            device.client.ask(TODY, READ, 2, {"off": 3}, "list the slots")


def test_a_trial_that_nobody_confirmed_makes_room(host: str, kws: Path, large: Path) -> None:
    with connect(host) as device:
        for path in (kws, large):
            report = device.flash(str(path), activate=False)
            device.activate(report.slot or 0)
        running = device.running()
        assert running and running.state == "trial"
        assert device.flash(str(kws)).state == "confirmed"
        assert device.flash(str(large)).state == "confirmed"


def test_older_models_are_refused(host: str, kws: Path, large: Path) -> None:
    with connect(host) as device:
        assert device.flash(str(kws), security=5).state == "confirmed" and device.security_floor() == 5
        with pytest.raises(TrustError, match="confirmed 5"):
            device.flash(str(large), security=4)
        assert device.flash(str(large)).state == "confirmed"
        assert device.flash(str(large), security=6).state == "confirmed" and device.security_floor() == 6


def test_long_outputs_come_in_parts(host: str, tmp_path: Path) -> None:
    from net import Net
    from zoo import separable

    path = tmp_path / "wide.tody"
    convert(separable(Net(1), 16, [(8, 2), (16, 1)], 3000), path)
    with connect(host) as device:
        device.flash(str(path))
        model = tody.load(path, threads=1, kernels="portable")
        x = np.random.default_rng(1).normal(size=model.inputs[0].shape).astype(np.float32)
        assert np.allclose(device.run(model, x), model(x), atol=1e-5)


def test_busy_port(host: str) -> None:
    with connect(host), pytest.raises(DeviceError, match="another program"):
        Device(host)


def test_silent_line_ends(kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on which nobody answers: a clear error, in bounded time."""
    monkeypatch.setattr(pace, "PATIENCE", 1.0)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        device = Device(f"socket://127.0.0.1:{server.getsockname()[1]}")
        with device, pytest.raises(DeviceError, match="no answer"):
            device.flash(str(kws))
        assert time.monotonic() - begin < HANG


def test_frames_of_the_device_are_those_of_the_laptop(host: str) -> None:
    """Long answers come in lines of at most 127 bytes that the laptop joins."""
    with connect(host) as device:
        text = "x" * (device.limit() - 6)  # as long as can be
        before = device.line.received
        assert device.echo(text) == text
        body = 8 + len(text) + 6
        assert device.line.received - before == frame.wire_bytes(body)
