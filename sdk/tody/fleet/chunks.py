"""Cut a model file into chunks that end where its tensors end, so that a change of one tensor changes its chunks alone."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from .. import coding, format
from .documents import MOST_CHUNK, Chunk


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


def cut(content: bytes) -> Iterator[bytes]:
    """The chunks of a file in order, none larger than `MOST_CHUNK`: small neighbours together, large parts in pieces.

    What stands before and behind the weights changes with every conversion, and so has chunks of its own.
    """
    header = format.read_header(content)
    begin = at = 0
    for part in parts(content):
        if at > begin and (part.end - begin > MOST_CHUNK or at in (header.weights_at, header.meta_at)):
            yield content[begin:at]
            begin = at
        while part.end - begin > MOST_CHUNK:
            yield content[begin : begin + MOST_CHUNK]
            begin += MOST_CHUNK
        at = part.end
    if at > begin:
        yield content[begin:at]


def pieces(content: bytes) -> Iterator[bytes]:
    """Chunks of bytes that have no parts."""
    return (content[i : i + MOST_CHUNK] for i in range(0, len(content), MOST_CHUNK))


def chunk(content: bytes) -> Chunk:
    """The name of a chunk."""
    return Chunk(hashlib.sha256(content).hexdigest(), len(content))
