"""Where a device is: serial:/dev/ttyACM0, serial:auto, socket://host:port, smp+udp://host:port, ssh://user@host, fake://board."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DeviceError, MissingExtraError, UsageError

BAUD = 115200
UDP_PORT = 1337  # of SMP, as Zephyr has it
KNOWN = "serial:/dev/ttyACM0, serial:auto, socket://host:port, smp+udp://host, ssh://user@host, fake://board"


@dataclass(frozen=True)
class Port:
    """A serial port that is there: its path, USB ids (None: not on USB) and what it calls itself."""

    path: str
    vid: int | None
    pid: int | None
    name: str


def ports() -> list[Port]:
    """The serial ports on USB, in the order of their paths.

    Raises:
        MissingExtraError: pyserial is not installed.
    """
    try:
        from serial.tools import list_ports
    except ImportError as e:
        raise MissingExtraError("pyserial", "serial") from e
    found = [Port(p.device, p.vid, p.pid, p.product or p.description or "") for p in list_ports.comports()]
    return sorted((p for p in found if p.vid is not None), key=lambda p: p.path)


@dataclass(frozen=True)
class Address:
    """A parsed address. `kind` is serial, socket, udp, ssh or fake; `where` what it says; `baud` of serial lines."""

    kind: str
    where: str
    baud: int = BAUD

    def __str__(self) -> str:
        prefix = {"serial": "serial:", "udp": "smp+udp://"}.get(self.kind, f"{self.kind}://")
        return prefix + self.where


def parse(text: str) -> Address:
    """The address that a text means. A bare path or COM port is a serial port; `?baud=9600` sets its speed.

    Raises:
        UsageError: it is none.
    """
    for prefix, kind in (("socket://", "socket"), ("smp+udp://", "udp"), ("ssh://", "ssh"), ("fake://", "fake")):
        if text.startswith(prefix) and len(text) > len(prefix):
            return Address(kind, text[len(prefix) :])
    match = re.fullmatch(r"(serial:)?([^?]+?)(?:\?baud=(\d{3,8}))?", text)
    if match and (match[1] or match[2] == "auto" or re.match(r"/|COM\d", match[2])):
        return Address("serial", match[2], int(match[3] or BAUD))
    raise UsageError(f"{text!r} is not an address of a device", f"known are {KNOWN}", "tody devices lists what is plugged in")


def host_and_port(address: Address, default: int | None = None) -> tuple[str, int]:
    """Of socket:// and smp+udp://.

    Raises:
        UsageError: there is no port number where one is needed, or it is none.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:/\[\]]+)(?::(\d{1,5}))?/?", address.where)
    port = int(match[2]) if match and match[2] else default
    if not match or port is None or not 0 < port < 65536:
        raise UsageError(
            f"{address} names no host and port", "it must look like host:port", "for example socket://127.0.0.1:4000"
        )
    return match[1].strip("[]"), port


def only_port() -> Address:
    """The serial port that is meant by `serial:auto`: the one that is there.

    Raises:
        DeviceError: there is none, or more than one.
    """
    found = ports()
    if len(found) == 1:
        return Address("serial", found[0].path)
    if found:
        names = ", ".join(p.path for p in found)
        raise DeviceError("more than one serial port is plugged in", names, f"name one: --port {found[0].path}")
    hint = "plug the board in, or name the port: --port /dev/ttyACM0"
    raise DeviceError("no serial port was found", "no USB device that has one is plugged in", hint)
