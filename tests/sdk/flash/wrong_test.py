"""What is on a port instead of a board: three lines that say so, an exit code, and in time."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import re
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("serial")

import serial

from patience import HANG
from tody.cli.main import main
from tody.flash import pace

Capture = pytest.CaptureFixture[str]


def silent(port: int) -> None:
    while os.read(port, 4096):
        pass


def echo(port: int) -> None:
    while data := os.read(port, 4096):
        os.write(port, data)


def gps(port: int) -> None:
    while True:
        os.write(port, b"$GPGGA,123519,4807.038,N\r\n")
        time.sleep(0.05)


def shell(port: int) -> None:
    while data := os.read(port, 4096):
        os.write(port, b"-sh: " + data[2:20].replace(b"\n", b"") + b": not found\r\n# ")


def noise(port: int) -> None:
    while True:
        os.write(port, os.urandom(50))
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "told", "hint"),
    [
        (errno.EACCES, "you may not use it", "dialout"),
        (errno.EBUSY, "another program", "close"),
        (errno.ENOTTY, "not a serial", ""),
    ],
)
def test_ports_that_may_not_be_used(
    number: int, told: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise serial.SerialException(number, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuses)
    assert main(["logs", "/dev/ttyX"]) == 6
    error, why, attempt = capsys.readouterr().err.splitlines()
    assert "/dev/ttyX cannot be opened" in error and told in why and hint in attempt


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (silent, "the line is silent"),
        (echo, "what comes back is no answer"),
        (gps, "something else answers: '.GPGGA"),
        (shell, "something else answers: '"),
        (noise, "something else answers|what comes back is no answer"),
    ],
)
def test_something_else(
    what: Callable[[int], None], told: str, kws: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PATIENCE", 1.0)
    near, far = os.openpty()
    tty.setraw(far)

    def quietly() -> None:
        try:
            what(near)
        except OSError:  # the test is over
            return

    threading.Thread(target=quietly, daemon=True).start()
    begin = time.monotonic()
    assert main(["flash", str(kws), os.ttyname(far)]) == 6
    said = capsys.readouterr()
    assert re.search(told, said.err) and "device:" not in said.err + said.out
    assert len(said.err.splitlines()[-3:]) == 3 and time.monotonic() - begin < HANG
    assert main(["devices", os.ttyname(far)]) == 0
    assert re.search(told, capsys.readouterr().out)
    os.close(near)
    os.close(far)
