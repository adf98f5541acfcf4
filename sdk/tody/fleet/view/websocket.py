"""The server's end of a WebSocket that carries MQTT (RFC 6455, 2011), and a guard that lets a page only read."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import socket
import struct

MOST_FRAME = 1 << 20  # bytes
PIECE = 1 << 16  # bytes of one frame to the page
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUE, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


def accept(key: str) -> str:
    """What a server answers to `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()


class WebSocket:
    """After the handshake. What is in frames is a stream: where a frame ends says nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def receive(self) -> bytes:
        """The next bytes; none when the page has gone.

        Raises:
            OSError: the connection broke.
            ValueError: it sends what no browser does.
        """
        while True:
            kind, payload = self._frame()
            if kind == _CLOSE:
                return b""
            if kind == _PING:
                self._send(_PONG, payload)
            elif kind in (_CONTINUE, _BINARY) and payload:
                return payload
            elif kind == _TEXT:
                raise ValueError("MQTT is not text")

    def send(self, content: bytes) -> None:
        """Raises OSError when the connection broke."""
        for i in range(0, len(content), PIECE):
            self._send(_BINARY, content[i : i + PIECE])

    def _send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        length = (
            bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 1 << 16 else struct.pack(">BQ", 127, size)
        )
        self._socket.sendall(bytes([0x80 | kind]) + length + payload)

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 127
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        if not second & 128 or size > MOST_FRAME:
            raise ValueError("a frame is not masked, or too long")
        mask, payload = self._exactly(4), self._exactly(size)
        pattern = mask * (size // 4 + 1)
        clear = int.from_bytes(payload, "big") ^ int.from_bytes(pattern[:size], "big")
        return first & 15, clear.to_bytes(size, "big")

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            piece = self._socket.recv(size - len(content))
            if not piece:
                raise ConnectionError("it ended within a frame")
            content += piece
        return content


class Guard:
    """Looks at the MQTT packets that a page sends on their way to the broker: none of them may publish anything."""

    # connect, puback, subscribe, unsubscribe, pingreq, disconnect
    ALLOWED = (1, 4, 8, 10, 12, 14)

    def __init__(self) -> None:
        self._rest = b""

    def passed(self, content: bytes) -> bytes:
        """The packets that are whole now.

        Raises:
            ValueError: one of them may not pass.
        """
        self._rest += content
        whole = 0
        while ends := self._ends(whole):
            body, end = ends
            self._check(self._rest[whole] >> 4, self._rest[body:end])
            whole = end
        passed, self._rest = self._rest[:whole], self._rest[whole:]
        return passed

    def _ends(self, start: int) -> tuple[int, int] | None:
        """Where the packet at `start` has its body and its end; None: it is not all there."""
        size = 0
        for at in range(start + 1, min(start + 5, len(self._rest))):
            size |= (self._rest[at] & 127) << 7 * (at - start - 1)
            if size > MOST_FRAME:
                break
            if self._rest[at] < 128:
                return (at + 1, at + 1 + size) if at + 1 + size <= len(self._rest) else None
        if len(self._rest) - start >= 5:
            raise ValueError("a packet is too long")
        return None

    def _check(self, kind: int, body: bytes) -> None:
        if kind not in self.ALLOWED:
            raise ValueError(f"a page may not send packets of type {kind}")
        if kind == 1 and (body[:6] != b"\x00\x04MQTT" or len(body) < 8 or body[7] & 4):
            raise ValueError("a page may not leave a will")
