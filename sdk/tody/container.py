"""The outside of a `.tody` file: its header and its metadata. What loading a model takes and no more, so that it is quick."""

# SPDX-License-Identifier: Apache-2.0

import json
import mmap
import struct
import zlib
from typing import Any, NamedTuple

from .errors import ModelError

Data = bytes | memoryview | mmap.mmap  # of a file

MAGIC = b"TODY"
MAJOR, MINOR = 1, 14
CODED = 1  # flag of the header
HEADER = struct.Struct("<4sHH20I40x")


def align(value: int, to: int) -> int:
    return -(-value // to) * to


class Header(NamedTuple):
    """The fields of the header, in order."""

    magic: bytes
    major: int
    minor: int
    header_bytes: int
    file_bytes: int
    structure_crc: int
    weights_crc: int
    meta_crc: int
    flags: int
    tensors_at: int
    tensor_count: int
    ops_at: int
    ops_bytes: int
    op_count: int
    io_at: int
    input_count: int
    output_count: int
    weights_at: int
    weights_bytes: int
    meta_at: int
    meta_bytes: int
    arena_bytes: int
    coded_bytes: int

    @property
    def coded(self) -> bool:
        return bool(self.flags & CODED)

    @property
    def stored_bytes(self) -> int:
        """Size of the file as it is, coded or not."""
        return self.coded_bytes if self.coded else self.file_bytes

    def pack(self) -> bytes:
        return HEADER.pack(*self)


def read_header(data: Data) -> Header:
    """The header, after the checks that let Python read the sections.

    Raises:
        ModelError: not a .tody file, another version, truncated.
    """
    if len(data) < HEADER.size or bytes(data[:4]) != MAGIC:
        raise ModelError("this is not a .tody file", "it does not begin with TODY", "tody convert MODEL.onnx -o MODEL.tody")
    header = Header(*HEADER.unpack_from(data))
    if header.major != MAJOR or header.minor > MINOR:
        why = f"this tody knows format {MAJOR}.{MINOR}"
        raise ModelError(
            f"the file has format version {header.major}.{header.minor}", why, "update tody, or convert the model again"
        )
    if header.stored_bytes != len(data):
        why = f"it has {len(data):,} bytes and should have {header.stored_bytes:,}"
        raise ModelError("the file is not complete", why, "copy it again")
    return header


def plain(data: Data) -> Data:
    """The plain file: the data itself, or what it decodes to.

    Raises:
        ModelError: not a .tody file, another version, truncated, or damaged.
    """
    if not read_header(data).coded:
        return data
    from ._runtime import unpack

    return unpack(data)


def read_meta(data: Data) -> tuple[dict[str, Any], bytes]:
    """The metadata of a file and its binary part, without looking at the model itself.

    Raises:
        ModelError: not a .tody file, truncated, or its metadata is damaged.
    """
    data = plain(data)
    header = read_header(data)
    section = bytes(data[header.meta_at : header.meta_at + header.meta_bytes])
    if zlib.crc32(section) != header.meta_crc:
        raise ModelError("the metadata is damaged", "its checksum does not match", "copy or convert the model again")
    if not section:
        return {}, b""
    try:
        return split_meta(section)
    except (struct.error, ValueError, RecursionError) as e:
        raise ModelError("the metadata cannot be read", str(e), "convert the model again") from e


def split_meta(section: bytes) -> tuple[dict[str, Any], bytes]:
    """The metadata in a metadata section, and the binary part.

    Raises:
        struct.error, ValueError, RecursionError: it is damaged.
    """
    (length,) = struct.unpack_from("<I", section)
    if length > len(section) - 4:
        raise ValueError("its length is out of bounds")
    meta = json.loads(section[4 : 4 + length].decode())
    if not isinstance(meta, dict):
        raise ValueError("it is not an object")
    return meta, section[4 + align(length, 4) :]
