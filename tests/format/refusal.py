"""What tests of refused files have in common: why each was refused, and checksums that are right in spite of a change."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest

from tody import format as tf
from tody._runtime import Runtime
from tody.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
TEXTS = dict(re.findall(r'TODY_ERR_(\w+):\s*return "([^"]*)"', (ROOT / "runtime" / "core" / "status.c").read_text()))

# Offsets of fields in the header, as docs/format.md has them.
HEADER = {"magic": (0, "4s"), "major": (4, "H"), "minor": (6, "H"), "reserved": (88, "I"), "reserved_last": (124, "I")}
HEADER |= {name: (8 + 4 * i, "I") for i, name in enumerate(tf.Header._fields[3:])}


def repaired(data: bytearray) -> bytes:
    """With the checksum of the structure made right."""
    at = HEADER["structure_crc"][0]
    data[at : at + 4] = bytes(4)
    weights_at = struct.unpack_from("<I", data, HEADER["weights_at"][0])[0]
    struct.pack_into("<I", data, at, zlib.crc32(data[:weights_at]))
    return bytes(data)


def refusal(data: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        Runtime(data)
    return caught.value.why
