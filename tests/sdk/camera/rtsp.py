"""A network camera in a hundred lines: RTSP 1.0 (RFC 2326) with JPEG over RTP (RFC 2435), interleaved in one TCP connection."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterable

_PACKET = 1400  # bytes of a scan in one RTP packet
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\nc=IN IP4 0.0.0.0\r\na=control:track\r\n"


def _segments(jpeg: bytes) -> tuple[bytes, bytes]:
    """The two quantisation tables (128 bytes) and the entropy-coded scan of a baseline JPEG."""
    tables, at = b"", 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : at + 2 + length]
        if marker == 0xDB:
            tables += b"".join(body[i + 1 : i + 65] for i in range(0, len(body), 65))
        at += 2 + length
        if marker == 0xDA:
            return tables, jpeg[at:]


def packets(jpeg: bytes, size: tuple[int, int], number: int, sequence: int) -> Iterable[bytes]:
    """RTP packets of one 4:2:0 frame, 25 a second, each with its interleaving header."""
    tables, scan = _segments(jpeg)
    for at in range(0, len(scan), _PACKET):
        part, last = scan[at : at + _PACKET], at + _PACKET >= len(scan)
        rtp = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), (sequence + at // _PACKET) & 0xFFFF, number * 3600, 7)
        head = struct.pack(">IBBBB", at, 1, 255, size[0] // 8, size[1] // 8)
        if at == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        payload = rtp + head + part
        yield b"$\0" + struct.pack(">H", len(payload)) + payload


class RtspCamera:
    """Serves the same pictures over and over, to one client, until `unplug` closes everything at once."""

    def __init__(self, jpegs: list[bytes], size: tuple[int, int]) -> None:
        self._jpegs, self._size = jpegs, size
        self._server = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        self.url = f"rtsp://user:secret@127.0.0.1:{self._server.getsockname()[1]}/live"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self._client, _ = self._server.accept()
                self._talk(self._client)
        except OSError:
            pass  # unplugged

    def _talk(self, client: socket.socket) -> None:
        data = b""
        while received := client.recv(4096):
            data += received
            while b"\r\n\r\n" in data:
                request, data = data.split(b"\r\n\r\n", 1)
                self._answer(client, request.decode())
                if request.startswith(b"PLAY"):
                    self._play(client)

    def _answer(self, client: socket.socket, request: str) -> None:
        verb, *_ = request.split()
        fields = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
        transport = fields.get("Transport", "")
        status, body = "200 OK", ""
        lines = [f"CSeq: {fields['CSeq']}", "Session: 1"]
        if verb == "OPTIONS":
            lines.append("Public: DESCRIBE, SETUP, PLAY")
        elif verb == "DESCRIBE":
            body = _SDP
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif verb == "SETUP" and "TCP" in transport:
            lines.append(f"Transport: {transport}")
        elif verb == "SETUP":
            status = "461 Unsupported Transport"
        client.sendall("\r\n".join([f"RTSP/1.0 {status}", *lines, "", body]).encode())

    def _play(self, client: socket.socket) -> None:
        sequence = 0
        for number in range(1 << 30):
            for packet in packets(self._jpegs[number % len(self._jpegs)], self._size, number, sequence):
                client.sendall(packet)
                sequence += 1
            time.sleep(0.04)

    def unplug(self) -> None:
        self._server.close()
        client, self._client = self._client, None
        if client:
            client.shutdown(socket.SHUT_RDWR)
            client.close()
