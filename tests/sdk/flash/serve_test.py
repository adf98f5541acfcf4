"""A Linux board on a serial line: the same verbs as for a microcontroller, over a pseudo-terminal."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("serial")

import tody
from patience import PATIENCE, wait_until
from tody import format
from tody.cli.main import main
from tody.flash.client import Refused
from tody.flash.device import Device
from tody.fleet.device.follow import read_state


@contextmanager
def board(folder: Path, *options: str) -> Iterator[str]:
    """A board that answers; its address."""
    link = folder / "board.tty"
    words = [sys.executable, "-m", "tody", "serve", "--pty", str(link), "--store", str(folder / "store"), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and "answers on" in process.stdout.readline()
            wait_until(link.exists)
            yield f"serial:{link}"
        finally:
            process.terminate()


@pytest.fixture
def large(kws: Path, tmp_path: Path) -> Path:
    """The same with 500 kB of data that nothing reads."""
    file = format.read(kws.read_bytes())
    file.blob += random.Random(1).randbytes(500_000)
    path = tmp_path / "large.tody"
    path.write_bytes(format.write(file))
    return path


def test_the_same_verbs(kws: Path, large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with board(tmp_path) as address:
        assert main(["flash", str(kws), address, "--verify"]) == 0
        assert re.search(r"slot 0: .* confirmed, self-test exact", capsys.readouterr().out)
        with Device(address) as device:
            model, slots = tody.load(kws, threads=1), device.slots()
            assert read_state(tmp_path / "store").active == slots[0].sha256.hex()
            x = np.random.default_rng(1).normal(size=model.inputs[0].shape).astype(np.float32)
            assert np.array_equal(device.run(model, x), model(x))
            assert device.echo("x" * 9000) == "x" * 9000
            device.reset()
        for verb in ("profile", "bench", "run"):
            assert main([verb, str(kws), "--on", address, *["--seconds", "0.01"] * (verb == "bench")]) == 0
        assert main(["flash", str(large), address]) == 0
        with Device(address) as device:
            assert device.security_floor() == 0
            device.back()
            running = device.running()
            assert running and running.sha256 == slots[0].sha256
            device.erase(1)
            assert device.slots()[1].state == "empty"
    with board(tmp_path) as address, Device(address) as device:
        running = device.running()
        assert running and running.sha256 == slots[0].sha256


def test_an_upload_that_was_cut_off_goes_on(large: Path, tmp_path: Path) -> None:
    size = large.stat().st_size
    with board(tmp_path) as address, Device(address) as device:
        for step in device.flashing(str(large)):
            if step.stage == "upload" and step.done > size // 2:
                break
    with board(tmp_path) as address, Device(address) as device:
        assert sorted(s.state for s in device.slots()) == ["empty", "loading"]
        report = device.flash(str(large))
        assert report.state == "confirmed" and report.resumed >= size // 2 - (1 << 17)


def test_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with board(tmp_path):
        assert main(["serve", "--pty", str(tmp_path / "two.tty"), "--store", str(tmp_path / "store")]) == 6
        assert "one at a time may" in capsys.readouterr().err
    assert main(["serve", "--serial", str(tmp_path / "none"), "--store", str(tmp_path / "other")]) == 6
    assert "no such port" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["serve", "--serial", str(tmp_path / "file"), "--store", str(tmp_path / "other")]) == 6
    assert "not a serial port" in capsys.readouterr().err


def test_serves_nothing_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "door.tody"
    file.write_text("a model")
    assert main(["serve", "--pty", str(file), "--store", str(tmp_path / "store")]) == 2
    assert "left alone" in capsys.readouterr().err and file.read_text() == "a model"
    assert main(["serve", "--serial", "/dev/ttyGS0?baud=12345", "--store", str(tmp_path / "store")]) == 2
    assert "12345" in capsys.readouterr().err


def test_stock_tools(kws: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("smpmgr")
    if not program.exists():
        pytest.skip("smpmgr is not installed")

    def smpmgr(port: str, *arguments: str) -> str:
        done = subprocess.run([program, "--port", port, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    import hashlib

    sha = hashlib.sha256(kws.read_bytes()).hexdigest().upper()
    with board(tmp_path) as address:
        port = os.path.realpath(address.removeprefix("serial:"))
        smpmgr(port, "image", "upload", "--format", "any", str(kws))
        assert sha in re.sub(r"\s", "", smpmgr(port, "image", "state-read"))
        smpmgr(port, "image", "state-write", sha, "--confirm")
        with Device(address) as device:
            assert device.self_test(kws.read_bytes()) == 0.0


def test_damage_is_told_at_once(tmp_path: Path) -> None:
    with board(tmp_path) as address:
        import serial

        with serial.Serial(address.removeprefix("serial:"), timeout=PATIENCE) as port:
            port.write(b"\x06\x09AAA*\nsome text\n")
            assert port.readline() == b"?\n"
        with Device(address) as device, pytest.raises(Refused):
            device.confirm()
