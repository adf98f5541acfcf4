"""SMP over serial: packets as lines of base64 with a CRC-16, among lines of text. Twin of firmware/link/frame.c."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator

FIRST, MORE = b"\x06\x09", b"\x04\x14"
_DIGITS = 124  # in a line, so that it has 127 bytes with its marks: 128 are the custom
_LONGEST = 1 << 16  # of a packet
_TEXT = 1 << 12  # of a line of text

_UNMARKED = re.compile(rb"[\x04\x06\x09\x14]?[A-Za-z0-9+/=]{20,}\r?")  # a line of a packet whose mark was damaged

Event = bytes | str  # a message, or a line of text
DAMAGED = b""  # in the place of a message: one came, but did not prove sound
NAK = "?"  # the line of text by which a device says so of what it got


def encode(message: bytes) -> bytes:
    """The lines that carry a message."""
    packet = struct.pack(">H", len(message) + 2) + message + struct.pack(">H", binascii.crc_hqx(message, 0))
    digits = base64.b64encode(packet)
    lines = [digits[i : i + _DIGITS] for i in range(0, len(digits), _DIGITS)]
    return b"".join((MORE if i else FIRST) + line + b"\n" for i, line in enumerate(lines))


def packet_bytes(message_bytes: int) -> int:
    """Bytes of the packet around a message of so many bytes: its length and the CRC are in it."""
    return message_bytes + 4


def wire_bytes(message_bytes: int) -> int:
    """Bytes that `encode` makes of a message of so many bytes."""
    digits = -(-packet_bytes(message_bytes) // 3) * 4
    return digits + 3 * -(-digits // _DIGITS)


class Decoder:
    """Bytes of a line in, whole messages and lines of text out. Of a packet that is damaged comes `DAMAGED`."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._packet: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        for byte in data:
            if byte in (FIRST[0], MORE[0]):  # no digits of base64: a line begins, even where the end of the last was lost
                self._line.clear()
            elif byte == 0x0A:
                yield from self._end()
                self._line.clear()
                continue
            if len(self._line) < _TEXT:
                self._line.append(byte)

    def _end(self) -> Iterator[Event]:
        """What a line that is over completes."""
        line = bytes(self._line)
        if line[:2] == FIRST:
            self._packet = bytearray()
        elif line[:2] != MORE:
            yield DAMAGED if _UNMARKED.fullmatch(line) else line.decode("utf-8", "replace").rstrip("\r")
            return
        if self._packet is None:
            return
        try:
            self._packet += base64.b64decode(line[2:].rstrip(b"\r"), validate=True)
        except ValueError:
            self._packet = None
            yield DAMAGED
            return
        yield from self._whole()

    def _whole(self) -> Iterator[bytes]:
        """The message, once all of its lines have come."""
        packet = self._packet or bytearray()
        length = struct.unpack_from(">H", packet)[0] if len(packet) >= 2 else _LONGEST
        if len(packet) < 2 + length <= _LONGEST:
            return
        self._packet = None
        message, crc = bytes(packet[2:-2]), bytes(packet[-2:])
        sound = len(packet) == 2 + length and struct.pack(">H", binascii.crc_hqx(message, 0)) == crc
        yield message if sound else DAMAGED
