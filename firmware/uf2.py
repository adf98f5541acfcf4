"""Pack a program into the UF2 format of boot loaders that look like a USB drive: uf2.py BIN UF2 ADDRESS FAMILY."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import sys
from pathlib import Path

PAYLOAD = 256  # bytes in a block of 512
MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
FAMILY_GIVEN = 0x2000


def pack(program: bytes, address: int, family: int) -> bytes:
    """Blocks of a header, 256 bytes and padding. Source: github.com/microsoft/uf2, the format's description (2016)."""
    parts = [program[at : at + PAYLOAD].ljust(PAYLOAD, b"\xff") for at in range(0, len(program), PAYLOAD)]
    blocks = []
    for i, part in enumerate(parts):
        head = struct.pack("<8I", *MAGIC[:2], FAMILY_GIVEN, address + i * PAYLOAD, PAYLOAD, i, len(parts), family)
        blocks.append(head + part.ljust(476, b"\0") + struct.pack("<I", MAGIC[2]))
    return b"".join(blocks)


if __name__ == "__main__":
    source, target, address, family = sys.argv[1:]
    Path(target).write_bytes(pack(Path(source).read_bytes(), int(address, 0), int(family, 0)))
