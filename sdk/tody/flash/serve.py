"""A device's serial line on Linux: a port, or a new pseudo-terminal, on which a server answers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import select
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DeviceError, UsageError
from . import frame
from .address import Address
from .server import Server
from .transport import refused

_AGAIN = 1.0  # seconds until a port that went away is opened again
_PIECE = 1 << 16


@contextmanager
def opened(address: Address) -> Iterator[int]:
    """A serial port, raw; its file descriptor.

    Raises:
        UsageError: serial ports have no such speed here.
        DeviceError: it cannot be used.
    """
    speed = getattr(termios, f"B{address.baud}", None)
    if speed is None:
        raise UsageError(f"there is no speed of {address.baud} baud", "Linux has a fixed list", "?baud=115200, or 921600")
    try:
        port = os.open(address.where, os.O_RDWR | os.O_NOCTTY)
    except OSError as e:
        refused(address, e)
    try:
        _raw(port, address, speed)
        yield port
    finally:
        os.close(port)


def _raw(port: int, address: Address, speed: int) -> None:
    try:
        tty.setraw(port)
        settings = termios.tcgetattr(port)
        settings[4] = settings[5] = speed
        termios.tcsetattr(port, termios.TCSANOW, settings)
    except termios.error as e:
        refused(address, OSError(*e.args))


@contextmanager
def pseudo_terminal(link: Path) -> Iterator[int]:
    """A new one; `link` leads to its other end, in the place of an older link.

    Raises:
        UsageError: a file is there.
    """
    if link.exists() and not link.is_symlink():
        raise UsageError(f"{link} is there already", "it is no link, and is left alone", "another name for --pty")
    near, far = os.openpty()  # the far end stays open here, so that those who open and close it end nothing
    tty.setraw(far)
    link.unlink(missing_ok=True)
    link.symlink_to(os.ttyname(far))
    try:
        yield near
    finally:
        link.unlink(missing_ok=True)
        os.close(near)
        os.close(far)


def answer(port: int, server: Server) -> None:
    """Answer what comes, until the line is gone."""
    decoder = frame.Decoder()
    while True:
        select.select([port], [], [])
        data = os.read(port, _PIECE)
        if not data:
            return
        for event in decoder.feed(data):
            if event == frame.DAMAGED:
                _send(port, f"{frame.NAK}\n".encode())
            elif isinstance(event, bytes) and (message := server.answer(event)):
                _send(port, frame.encode(message))


def answer_for_ever(address: Address, server: Server) -> None:
    """`answer` on a serial port, also after its cable was pulled and plugged in again."""
    while True:
        with contextlib.suppress(OSError, DeviceError), opened(address) as port:
            answer(port, server)
        time.sleep(_AGAIN)


def _send(port: int, data: bytes) -> None:
    while data:
        data = data[os.write(port, data) :]
