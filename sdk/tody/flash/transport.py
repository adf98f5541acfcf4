"""Lines to a device that carry SMP messages: a serial port, a TCP socket that stands for one, UDP."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import errno
import math
import socket
import time
from collections import deque
from typing import Any, NoReturn, Protocol

from ..errors import DeviceError, MissingExtraError, UsageError
from . import frame
from .address import UDP_PORT, Address, host_and_port, only_port

_CONNECT_SECONDS = 5.0


class Line(Protocol):
    """What carries messages. `sent` and `received` count the bytes on the wire; `rate` is what the wire takes, bytes/s.

    `send` and `receive` raise DeviceError when the device is gone.
    """

    sent: int
    received: int
    rate: float

    def send(self, message: bytes) -> None: ...

    def receive(self, timeout: float) -> frame.Event | None:
        """The next message or line of text; None: nothing came in so many seconds."""

    def close(self) -> None: ...


def connect(address: Address) -> Line:
    """Open the line to a device.

    Raises:
        DeviceError: there is no such port or host, it is busy, or may not be used.
        MissingExtraError: pyserial is not installed.
    """
    if address.kind == "fake":
        from .fake import FakeLine

        return FakeLine(address.where)
    if address.kind == "socket":
        return StreamLine(_SocketPipe(address), str(address), 1e6)
    if address.kind == "udp":
        return UdpLine(address)
    if address.kind == "ssh":
        raise UsageError(f"{address} does not speak SMP", "over ssh a model can be put on a device, nothing else", "tody flash")
    if address.where == "auto":
        address = only_port()
    return StreamLine(_SerialPipe(address), str(address), address.baud / 10)


class _Pipe(Protocol):
    def read(self, timeout: float) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _SerialPipe:
    def __init__(self, address: Address) -> None:
        try:
            import serial
        except ImportError as e:
            raise MissingExtraError("pyserial", "serial") from e
        try:
            self._port: Any = serial.Serial(address.where, address.baud, timeout=0, write_timeout=10, exclusive=True)
        except (serial.SerialException, ValueError) as e:
            refused(address, e)

    def read(self, timeout: float) -> bytes:
        self._port.timeout = timeout
        return bytes(self._port.read(max(1, self._port.in_waiting)))

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def close(self) -> None:
        self._port.close()


def refused(address: Address, error: Exception) -> NoReturn:
    """Why a serial port did not open, in three lines."""
    number, what = getattr(error, "errno", None), f"{address} cannot be opened"
    if number == errno.ENOENT:
        raise DeviceError(what, "there is no such port", "tody devices lists what is plugged in") from error
    if number in (errno.EACCES, errno.EPERM):
        raise DeviceError(what, "you may not use it", "sudo usermod -aG dialout $USER, then log in again") from error
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        raise DeviceError(what, "another program is using it", "close the terminal or tool that has it open") from error
    if number in (errno.ENOTTY, errno.EISDIR) or "configure port" in str(error):
        raise DeviceError(what, "it is not a serial port", "tody devices lists what is plugged in") from error
    raise DeviceError(what, str(error), "tody devices lists what is plugged in") from error


class _SocketPipe:
    def __init__(self, address: Address) -> None:
        host, port = host_and_port(address)
        try:
            self._socket = socket.create_connection((host, port), _CONNECT_SECONDS)
        except OSError as e:
            raise DeviceError(f"{address} cannot be reached", e.strerror or str(e), "is it running? check host and port") from e
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, timeout: float) -> bytes:
        self._socket.settimeout(max(timeout, 1e-3))
        try:
            data = self._socket.recv(4096)
        except TimeoutError:
            return b""
        if not data:
            raise OSError(errno.ECONNRESET, "the other end closed the connection")
        return data

    def write(self, data: bytes) -> None:
        self._socket.settimeout(10.0)
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


class StreamLine:
    """Messages as SMP frames on a stream of bytes."""

    def __init__(self, pipe: _Pipe, name: str, rate: float) -> None:
        self.sent = self.received = 0
        self.rate, self._pipe, self._name = rate, pipe, name
        self._decoder = frame.Decoder()
        self._events: deque[frame.Event] = deque()

    def send(self, message: bytes) -> None:
        data = frame.encode(message)
        self.sent += len(data)
        try:
            self._pipe.write(data)
        except (OSError, TypeError) as e:
            self._gone(e)

    def receive(self, timeout: float) -> frame.Event | None:
        end, left = time.monotonic() + timeout, math.inf
        while not self._events and left > 0:
            left = end - time.monotonic()
            try:
                data = self._pipe.read(max(left, 0.0))  # also when the time is over: what came while nobody ran lies there
            except (OSError, TypeError) as e:  # pyserial says TypeError of a port that was closed meanwhile
                self._gone(e)
            self.received += len(data)
            self._events.extend(self._decoder.feed(data))
        return self._events.popleft() if self._events else None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.close()

    def _gone(self, error: Exception) -> NoReturn:
        hint = "plug it in again and repeat the command: an upload goes on where it was cut off"
        raise DeviceError(f"{self._name} is gone", getattr(error, "strerror", None) or str(error), hint) from error


class UdpLine:
    """Messages as datagrams."""

    def __init__(self, address: Address) -> None:
        self.sent = self.received = 0
        self.rate, self._name = 1e6, str(address)
        host, port = host_and_port(address, UDP_PORT)
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(where)
        except OSError as e:
            raise DeviceError(f"{address} cannot be reached", e.strerror or str(e), "check host and port") from e

    def send(self, message: bytes) -> None:
        self.sent += len(message)
        with contextlib.suppress(ConnectionRefusedError):  # nobody listens there yet: to be told from the answer that lacks
            self._socket.send(message)

    def receive(self, timeout: float) -> frame.Event | None:
        self._socket.settimeout(max(timeout, 1e-3))
        try:
            message = self._socket.recv(1 << 16)
        except TimeoutError:
            return None
        except OSError as e:
            raise DeviceError(
                f"{self._name} does not answer", e.strerror or str(e), "is it running? check host and port"
            ) from e
        self.received += len(message)
        return message

    def close(self) -> None:
        self._socket.close()
