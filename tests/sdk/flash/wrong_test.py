"""What is on a port instead of a board: three lines that say so, an exit code, and in time."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("serial")

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
    assert len(said.err.splitlines()[-3:]) == 3 and time.monotonic() - begin < 8
    assert main(["devices", os.ttyname(far)]) == 0
    assert re.search(told, capsys.readouterr().out)
    os.close(near)
    os.close(far)
