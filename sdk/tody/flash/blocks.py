"""Which parts of a file a device holds already, so that only the rest is sent."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import zlib
from typing import NamedTuple

STEP = 16  # sections of a file move by multiples of it
LONGEST = 1 << 14  # bytes in one part, so that a device answers soon


class Copy(NamedTuple):
    """`size` bytes of the file from `at` on stand on the device from `source` on."""

    at: int
    source: int
    size: int


def find(data: bytes, checksums: list[int], block: int) -> list[Copy]:
    """The parts of a file that consist of blocks that are there, in order.

    Args:
        data: the file.
        checksums: CRC-32 of each block of the file that is there.
        block: bytes of a block.

    Blocks may have moved, as with rsync (Tridgell and Mackerras, 1996), by multiples of 16 bytes. A CRC-32 may lie, once in
    a few hundred files: the SHA-256 at the end of an upload finds out.
    """
    known = {crc: i for i, crc in reversed(list(enumerate(checksums)))}
    copies: list[Copy] = []
    at = 0
    while at + block <= len(data):
        crc = zlib.crc32(data[at : at + block])
        last = copies[-1] if copies else None
        follows = last is not None and last.at + last.size == at and last.size + block <= LONGEST
        source = last.source + last.size if last else 0
        if last is not None and follows and source // block < len(checksums) and checksums[source // block] == crc:
            copies[-1] = last._replace(size=last.size + block)
        elif crc in known:
            copies.append(Copy(at, known[crc] * block, block))
        else:
            at += STEP
            continue
        at += block
    return copies
