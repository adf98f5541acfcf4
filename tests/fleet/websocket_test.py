"""What a page's server takes from a WebSocket, and what it lets through to a broker."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from patience import PATIENCE
from tody.fleet.view.websocket import MOST_FRAME, Guard, WebSocket, accept

CONNECT = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x28\x00\x00\x04page"
SUBSCRIBE = b"\x82\x08\x00\x01\x00\x00\x02ab\x01"
PING, LEAVE = b"\xc0\x00", b"\xe0\x00"


@pytest.fixture
def ends() -> Iterator[tuple[WebSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        theirs.settimeout(PATIENCE)
        yield WebSocket(ours), theirs


def frame(payload: bytes, kind: int = 2, masked: bool = True) -> bytes:
    """As a browser sends it."""
    size = len(payload)
    length = struct.pack(">B", size) if size < 126 else struct.pack(">BH", 126, size)
    head = bytes([0x80 | kind, length[0] | (0x80 if masked else 0)]) + length[1:]
    mask = bytes([1, 200, 3, 44]) if masked else b""
    return head + mask + bytes(byte ^ mask[i % 4] if mask else byte for i, byte in enumerate(payload))


def test_the_handshake_of_the_standard() -> None:
    assert accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@pytest.mark.parametrize("size", [1, 125, 126, 127, 40_000, 65_535])
def test_bytes_come_and_go(ends: tuple[WebSocket, socket.socket], size: int) -> None:
    page, browser = ends
    content = random.Random(size).randbytes(size)
    browser.sendall(frame(content))
    assert page.receive() == content
    page.send(content)
    first, length = browser.recv(2)
    assert first == 0x82 and (length if length < 126 else int.from_bytes(browser.recv(2), "big")) == size
    got = b""
    while len(got) < size:
        got += browser.recv(size - len(got))
    assert got == content


def test_long_content_becomes_several_frames(ends: tuple[WebSocket, socket.socket]) -> None:
    page, browser = ends
    sending = threading.Thread(target=page.send, args=(b"x" * 65_537,))
    sending.start()
    assert browser.recv(10, socket.MSG_WAITALL) == b"\x82\x7f" + struct.pack(">Q", 65_536)
    assert browser.recv(65_536, socket.MSG_WAITALL) == b"x" * 65_536
    assert browser.recv(3, socket.MSG_WAITALL) == b"\x82\x01x"
    sending.join()


def test_pings_are_answered_and_a_farewell_is_the_end(ends: tuple[WebSocket, socket.socket]) -> None:
    page, browser = ends
    browser.sendall(frame(b"hi", 9) + frame(b"", 10) + frame(b"", 2) + frame(b"a", 0) + frame(b"", 8))
    assert page.receive() == b"a" and browser.recv(4) == b"\x8a\x02hi" and page.receive() == b""


@pytest.mark.parametrize(
    "content",
    [frame(b"x", masked=False), frame(b"x", 1), b"\x82\xff" + struct.pack(">Q", MOST_FRAME + 1), b"\x82\xff" + b"\xff" * 8],
)
def test_what_no_browser_sends(ends: tuple[WebSocket, socket.socket], content: bytes) -> None:
    page, browser = ends
    browser.sendall(content)
    with pytest.raises(ValueError):
        page.receive()


def test_half_a_frame(ends: tuple[WebSocket, socket.socket]) -> None:
    page, browser = ends
    browser.sendall(frame(b"hello")[:-1])
    browser.close()
    with pytest.raises(OSError):
        page.receive()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_guard_lets_pass_what_reads_however_it_is_cut(size: int) -> None:
    content = CONNECT + SUBSCRIBE + PING + b"\x40\x02\x00\x01" + LEAVE
    guard = Guard()
    assert b"".join(guard.passed(content[i : i + size]) for i in range(0, len(content), size)) == content


WILL = CONNECT[:9] + b"\x06" + CONNECT[10:]


@pytest.mark.parametrize(
    "packet", [b"\x30\x04\x00\x01ax", b"\x3d\x00", b"\x50\x02\x00\x01", b"\xf0\x00", b"\x00\x00", WILL, b"\x10\x00"]
)
def test_a_guard_stops_what_writes(packet: bytes) -> None:
    guard = Guard()
    assert guard.passed(PING) == PING
    with pytest.raises(ValueError):
        guard.passed(SUBSCRIBE + packet)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x01"])
def test_a_guard_waits_for_no_endless_packet(length: bytes) -> None:
    with pytest.raises(ValueError):
        Guard().passed(b"\x82" + length)
