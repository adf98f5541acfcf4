"""Cut a model file into chunks that end where its tensors end, so that a change of one tensor changes its chunks alone."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from .. import coding, format
from .documents import MOST_CHUNK, Chunk

LEAST_CHUNK = 16384  # bytes: a bad link breaks often, and what has not come whole is lost
FEW = 512  # chunks: the index of a large file shall fit into one message, so its chunks are larger


class Part(NamedTuple):
    """A stretch of a file. `kind`: what it holds, equal for tensors of equal dtype, shape and packing; "" between tensors."""

    at: int
    end: int
    kind: str
    dtype: str


def parts(content: bytes) -> list[Part]:
    """The stretches of a `.tody` file, in order and without gaps: header and records, each tensor of the weights, metadata.

    Those of a coded one: the header, each block.

    Raises:
        ModelError: the content is no sound .tody file.
    """
    header, file = format.read_header(content), format.read(content)
    if header.coded:
        return [Part(at, at + size, "", "") for at, size in _stored(content)]
    spans = {
        header.weights_at + t.at: (header.weights_at + t.at + t.bytes, f"{t.dtype} {t.shape} {t.pack}", t.dtype)
        for t in file.tensors
        if t.place == "weights"
    }
    found, at = [], 0
    for start in sorted(spans):
        end, kind, dtype = spans[start]
        if start < at:  # it shares memory with the one before
            continue
        if start > at:
            found.append(Part(at, start, "", ""))
        found.append(Part(start, end, kind, dtype))
        at = end
    for end in sorted({max(at, header.meta_at), len(content)}):
        if end > at:
            found.append(Part(at, end, "", ""))
            at = end
    return found


def _stored(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the header and each block of a coded file lie, and their sizes. Blocks stand for themselves, as tensors do."""
    at = coding.HEADER
    yield 0, at
    for _, _, size in coding.blocks(content):
        yield at, size
        at += size


def _most(size: int) -> int:
    """How large the chunks of a file of so many bytes may be. In few steps, so that files of about one size are cut alike."""
    return next((most for most in (LEAST_CHUNK, 2 * LEAST_CHUNK) if size <= FEW * most), MOST_CHUNK)


def cut(content: bytes) -> Iterator[bytes]:
    """The chunks of a file in order, none larger than `_most` says: small neighbours together, large parts in pieces.

    What stands before and behind the weights changes with every conversion, and so has chunks of its own.
    """
    header = format.read_header(content)
    begin, at, most = 0, 0, _most(len(content))
    for part in parts(content):
        if at > begin and (part.end - begin > most or at in (header.weights_at, header.meta_at)):
            yield content[begin:at]
            begin = at
        while part.end - begin > most:
            yield content[begin : begin + most]
            begin += most
        at = part.end
    if at > begin:
        yield content[begin:at]


def pieces(content: bytes) -> Iterator[bytes]:
    """Chunks of bytes that have no parts."""
    most = _most(len(content))
    return (content[i : i + most] for i in range(0, len(content), most))


def chunk(content: bytes) -> Chunk:
    """The name of a chunk."""
    return Chunk(hashlib.sha256(content).hexdigest(), len(content))
