"""Store a file in fewer bytes: its blocks, their tables, and what runtime/core/unpack.c decodes. docs/format.md states them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import format as fmt
from ._runtime import rans_encode
from .errors import UsageError

Array = NDArray[Any]

SCALE = 4096  # what the frequencies of a table add up to
LISTED = 32  # so many symbols at most are listed one by one
ROW = 64  # bytes: the 16 lanes of a panel, 4 bytes each
PIECE = 1 << 20  # bytes of a block, but for a single panel that is larger
MAX_BLOCK = (1 << 24) - 1
HEADER = 128  # bytes, of a file
HEAD, STATES = 8, 16  # bytes of a block's header, and of its states
PANELS = 0x80
_PANELS = struct.Struct("<3I2B2x")
_BITS = np.array([0, *np.round((12 - np.log2(np.arange(1, SCALE + 1))) * 65536)]).astype(np.int64)  # of a share, in 2^-16


@dataclass(frozen=True)
class Geometry:
    """Where panels are padded: only `lanes` lanes of the last of `panels` count, of every depth-th row only `deep` bytes."""

    rows: int
    depth: int
    panels: int
    lanes: int
    deep: int

    @property
    def is_padded(self) -> bool:
        return self.lanes < fmt.PANEL or self.deep < ROW // fmt.PANEL

    def coded(self, size: int) -> NDArray[np.bool_]:
        """[size]: which bytes of a block are coded."""
        row = np.arange(size // ROW)
        last = row // self.rows % self.panels == self.panels - 1
        short = row % self.rows % self.depth == self.depth - 1
        lanes = np.where(last, self.lanes, fmt.PANEL)[:, None, None]
        deep = np.where(short, self.deep, ROW // fmt.PANEL)[:, None, None]
        here = (np.arange(fmt.PANEL)[:, None] < lanes) & (np.arange(ROW // fmt.PANEL) < deep)
        return here.reshape(-1)


@dataclass(frozen=True)
class Piece:
    """Bytes of the plain file that one block shall hold. Pieces of one `group`, which are alike, may be joined."""

    data: Array
    group: int
    geometry: Geometry | None = None
    pairs: bool = False  # words of 16 bits

    @property
    def padded(self) -> Geometry | None:
        """The geometry, if it says more than that all bytes are coded."""
        return self.geometry if self.geometry is not None and self.geometry.is_padded else None

    @cached_property
    def symbols(self) -> tuple[Array, Array]:
        """What is coded, and in which of the four states each symbol is. Of pairs the upper byte stands for the rest."""
        size, panels = len(self.data), self.padded
        where = np.flatnonzero(panels.coded(size)) if panels else np.arange(size)
        return (_signed(self.data) if self.pairs else self.data)[where], (where & 3).astype(np.uint8)

    @cached_property
    def counts(self) -> Array:
        """[4, 256]: how often each symbol occurs at each byte of a word."""
        symbols, states = self.symbols
        return np.bincount(states.astype(np.int64) * 256 + symbols, minlength=1024).reshape(4, 256)

    @cached_property
    def plan(self) -> tuple[int, int]:
        """Size of the block in bytes, about, and its number of tables: the least there is."""
        head = HEAD + STATES + (_PANELS.size if self.padded else 0)
        raw, shared = (HEAD + len(self.data), 0), [2] if self.pairs else [1, 4]
        return min(raw, *((head + sum(map(_cost, self.shared(tables))), tables) for tables in shared))

    def shared(self, tables: int) -> Array:
        """[tables, 256]: what each of so many tables counts."""
        counts: Array = self.counts.reshape(4 // tables, tables, 256).sum(0)
        return counts

    @property
    def cost(self) -> int:
        return self.plan[0]


def _signed(data: Array) -> Array:
    """Words of two bytes, the upper one more where the lower one is negative: 0 of all words of 8 bits."""
    words: Array = data.reshape(-1, 2).copy()
    words[:, 1] += words[:, 0] >> 7
    return words.reshape(-1)


def _is_flat(counts: Array) -> bool:
    return _table_cost(counts) >= int(counts.sum())


def _cost(counts: Array) -> int:
    """Bytes that symbols take with their table, about: the better of one of their own and one of 256 equal shares."""
    return 2 + min(int(counts.sum()), _table_cost(counts))


def _table_cost(counts: Array) -> int:
    total = int(counts.sum())
    if total == 0:
        return 4
    present = counts[counts > 0]
    shares = np.maximum(1, (2 * SCALE * present + total) // (2 * total))
    table = 1 + min(LISTED, len(present)) + len(present) + int((shares > 128).sum())
    return table + (int((present * _BITS[shares]).sum()) >> 19)


def _shares(counts: Array) -> NDArray[np.uint16]:
    """[256] frequencies that add up to 4096, at least 1 for each symbol that occurs, near the least size of the result."""
    if _is_flat(counts):
        return np.full(256, SCALE // 256, np.uint16)
    weight = counts.astype(np.float64)
    shares = np.where(counts > 0, np.maximum(1, np.round(weight * SCALE / counts.sum())), 0)
    while missing := SCALE - int(shares.sum()):  # what a step gains or costs goes with weight / share
        if missing > 0:
            shares[(weight / (shares + 0.5)).argmax()] += 1
        else:
            shares[np.where(shares > 1, weight / (shares - 0.5), np.inf).argmin()] -= 1
    return shares.astype(np.uint16)


def _table(shares: NDArray[np.uint16]) -> bytes:
    if (shares == SCALE // 256).all():
        return struct.pack("<H", 0)
    present = np.flatnonzero(shares)
    listed = present.astype(np.uint8) if len(present) <= LISTED else np.packbits(shares > 0, bitorder="little")
    body = bytearray([len(present) - 1]) + listed.tobytes()
    for less in (int(share) - 1 for share in shares[present]):
        body += bytes([less] if less < 128 else [128 | less & 127, less >> 7])
    return struct.pack("<H", len(body)) + bytes(body)


def _block(piece: Piece) -> bytes:
    """The coded bytes of a piece."""
    size, tables = len(piece.data), piece.plan[1]
    if tables == 0:
        return struct.pack("<2I", size, size) + piece.data.tobytes()
    kind = tables | (PANELS if piece.padded else 0)
    geometry = _PANELS.pack(*astuple(piece.padded)) if piece.padded else b""
    shares = [_shares(each) for each in piece.shared(tables)]
    symbols, states = piece.symbols
    frequencies = np.stack(shares * (4 // tables)).astype("<u2")
    words = rans_encode(symbols.tobytes(), states.tobytes(), frequencies.tobytes())
    body = geometry + b"".join(map(_table, shares)) + words
    return struct.pack("<2I", kind << 24 | size, len(body)) + body


def _same_panels(a: Piece, b: Piece) -> Piece | None:
    """Both in one piece, if they are neighbours in one group and one block can hold them."""
    if a.group != b.group or a.pairs != b.pairs or len(a.data) + len(b.data) > PIECE:
        return None
    geometry = b.geometry
    if a.geometry is not None and b.geometry is not None and a.geometry != b.geometry:
        if a.geometry.lanes < fmt.PANEL:
            return None  # a padded panel in the middle
        before = len(a.data) // (ROW * a.geometry.rows)
        geometry = replace(b.geometry, panels=before + b.geometry.panels)
    return _both(a, b, geometry)


def _any_bytes(a: Piece, b: Piece) -> Piece | None:
    """Both in one piece, if neither leaves anything out and one block can hold them."""
    apart = a.padded or b.padded or a.pairs != b.pairs or len(a.data) + len(b.data) > PIECE
    return None if apart else _both(a, b, None)


def _both(a: Piece, b: Piece, geometry: Geometry | None) -> Piece:
    joined = Piece(np.concatenate([a.data, b.data]), b.group, geometry, b.pairs)
    joined.__dict__["counts"] = a.counts + b.counts
    return joined


def _join(pieces: Iterable[Piece], both: Callable[[Piece, Piece], Piece | None]) -> list[Piece]:
    """Neighbours that take less together than apart, such as panels of similar weights, are one piece."""
    done: list[Piece] = []
    for piece in pieces:
        while done and (joined := both(done[-1], piece)) and joined.cost <= done[-1].cost + piece.cost:
            done.pop()
            piece = joined
        done.append(piece)
    return done


def _panels(tensor: fmt.Tensor, data: Array, group: int) -> Iterator[Piece]:
    """The panels of a tensor: each by itself where it may have levels of its own, or a group of output channels at once."""
    size, words = len(data), tensor.dtype != "int8"
    panels = -(-tensor.shape[1] // fmt.PANEL)
    lanes = tensor.shape[1] - fmt.PANEL * (panels - 1)
    rows = size // (ROW * tensor.shape[0] * panels)
    depth, deep = (1, 4) if words else (rows // tensor.shape[2], (tensor.shape[3] - 1) % fmt.GROUP_S8 + 1)
    panel = ROW * rows
    step = panels if words and panel * panels <= PIECE else 1
    for at in range(0, size, panel * step):
        is_last = at // panel % panels + step == panels
        part, geometry = data[at : at + panel * step], Geometry(rows, depth, step, lanes if is_last else fmt.PANEL, deep)
        if part[~geometry.coded(len(part))].any():
            yield Piece(part, group=0)  # not written by pack_panels
        else:
            yield Piece(part, group, geometry, tensor.dtype == "int16")


def _cuts(file: fmt.File, header: fmt.Header) -> list[int]:
    """Where something begins in the plain file: sections, tensors, scales."""
    inside = {t.at for t in file.tensors if t.place == "weights"} | {t.scales_at for t in file.tensors if t.scale_count}
    sections = {header.tensors_at, header.ops_at, header.io_at, header.weights_at, header.meta_at, header.file_bytes}
    return sorted(sections | {header.weights_at + at for at in inside})


def _pieces(file: fmt.File, plain: bytes) -> Iterator[Piece]:
    header, data = fmt.read_header(plain), np.frombuffer(plain, np.uint8)
    weights = [t for t in file.tensors if t.place == "weights" and t.pack == "panels" and len(t.shape) == 4]  # and no biases
    tensors = {header.weights_at + t.at: t for t in weights}
    pairs = {header.weights_at + t.at for t in file.tensors if t.place == "weights" and t.dtype == "int16"}
    cuts = _cuts(file, header)
    for start, end in pairwise(cuts):
        tensor = tensors.get(start)
        if (
            tensor
            and tensor.bytes == end - start
            and tensor.bytes // (tensor.shape[0] * -(-tensor.shape[1] // fmt.PANEL)) <= MAX_BLOCK
        ):
            yield from _panels(tensor, data[start:end], group=start)
        else:
            parts = (data[at : min(at + PIECE, end)] for at in range(start, end, PIECE))
            yield from (Piece(part, group=0, pairs=start in pairs) for part in parts)


def encode(file: fmt.File, plain: bytes) -> bytes:
    """A coded file.

    Args:
        file: the content.
        plain: the bytes of the plain file with this content.
    """
    pieces = _join(_join(_pieces(file, plain), _same_panels), _any_bytes)
    blocks = b"".join(map(_block, pieces))
    header = fmt.read_header(plain)
    size = HEADER + len(blocks)
    return header._replace(minor=header.minor + 1, flags=fmt.CODED, coded_bytes=size).pack() + blocks


def blocks(data: fmt.Data) -> Iterator[tuple[int, int, int]]:
    """The blocks of a sound coded file: where the plain bytes of each begin, how many these are, and how many are stored."""
    header = fmt.read_header(data)
    stored = plain = HEADER
    while stored < header.coded_bytes:
        word, coded = struct.unpack_from("<2I", data, stored)
        yield plain, word & MAX_BLOCK, HEAD + coded
        stored, plain = stored + HEAD + coded, plain + (word & MAX_BLOCK)


def round_to_half(file: fmt.File, tensors: Iterable[int]) -> None:
    """Round float32 constants to what float16 holds, half to even. They stay float32; coded, they take 14 bits at most.

    Args:
        file: its `weights` are changed.
        tensors: indices of the tensors.

    Raises:
        UsageError: a tensor is not a float32 constant, or a value is beyond float16, whose largest is 65504.
    """
    weights = bytearray(file.weights)
    for index in tensors:
        tensor = file.tensors[index]
        if (tensor.place, tensor.dtype) != ("weights", "float32"):
            raise UsageError(f"tensor {index} cannot be rounded to half", f"it is {tensor.dtype} in the {tensor.place}")
        values = np.frombuffer(weights, "<f4", tensor.bytes // 4, tensor.at)
        with np.errstate(over="ignore"):
            halves = values.astype("<f2").astype("<f4")
        if not np.array_equal(np.isfinite(halves), np.isfinite(values)):
            largest = np.abs(values[np.isfinite(values)]).max()
            raise UsageError(f"tensor {index} cannot be rounded to half", f"it holds {largest:g}, float16 ends at 65504")
        values[...] = halves
    file.weights = bytes(weights)
