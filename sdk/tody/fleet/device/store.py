"""Models on a device's disk: they survive a power cut at any moment, and damage is noticed before it is run.

`state.a` and `state.b` hold the same state; the newer sound one counts, so that damage to one file loses nothing. `models/` has
a file for each model, `chunks/` what a download has brought so far. Everything in both is named by its SHA-256, and checked
against its name before it is used.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ...errors import TrustError
from ..disk import Disk, discard, put, put_all
from .state import Floors, State, decode, encode, without

COPIES = ("state.a", "state.b")
FOLDERS = ("models", "chunks")


class Store:
    """The models and the memory of one device. One process uses it at a time.

    Attributes:
        state: what is on the disk.
        lost: models that should have been there and were gone or damaged when the store was opened.
    """

    def __init__(self, disk: Disk) -> None:
        """Open a store, or begin one in an empty folder, and clear away what a power cut has left.

        Raises:
            OSError: the disk cannot be used.
        """
        self.disk = disk
        self._proved: set[str] = set()
        for folder in FOLDERS:
            disk.make_folder(folder)
        disk.sync_folder(".")
        found = [state for state in map(self._read_copy, COPIES) if state is not None]
        self.state = max(found, key=lambda state: state.sequence, default=State())
        self.lost = {model for model in self.state.wanted if not self.has_model(model)}
        if self.lost or len({state.sequence for state in found}) != 1 or len(found) != len(COPIES):
            self.commit(without(self.state, self.lost))
        self._clear_parts()

    def _read_copy(self, name: str) -> State | None:
        try:
            return decode(b"".join(self.disk.read(name)))
        except OSError:
            return None

    def commit(self, state: State) -> None:
        """Make this the state. Its floors become at least what they were.

        Raises:
            OSError: it could not be written; the state on the disk is then the old one or this one, and `state` is the old one.
        """
        floors = state.floors.raised(**vars(self.state.floors))
        state = replace(state, sequence=self.state.sequence + 1, floors=floors)
        for name in COPIES:
            put(self.disk, name, [encode(state)])
        self.state = state

    def raise_floors(self, **to: int) -> Floors:
        """Raise floors, on the disk before this returns; writes nothing if none of them rises."""
        floors = self.state.floors.raised(**to)
        if floors != self.state.floors:
            self.commit(replace(self.state, floors=floors))
        return self.state.floors

    def has_model(self, model: str) -> bool:
        """Whether the file of this model is here and whole. Reads all of it, once."""
        digest = hashlib.sha256()
        if model not in self._proved:
            try:
                for piece in self.disk.read(f"models/{model}.tody"):
                    digest.update(piece)
            except OSError:
                return False
            if digest.hexdigest() == model:
                self._proved.add(model)
        return model in self._proved

    def chunk(self, chunk: str) -> bytes | None:
        """A chunk that was brought before, or None if it is not here or damaged."""
        with contextlib.suppress(OSError):
            content = b"".join(self.disk.read(f"chunks/{chunk}"))
            if hashlib.sha256(content).hexdigest() == chunk:
                return content
        return None

    def add_chunks(self, chunks: Mapping[str, bytes]) -> None:
        """Keep parts of a download.

        Raises:
            TrustError: the content of one is not what its name says; the others are kept.
        """
        names = {chunk: hashlib.sha256(content).hexdigest() for chunk, content in chunks.items()}
        put_all(self.disk, {f"chunks/{chunk}": [chunks[chunk]] for chunk, name in names.items() if name == chunk})
        for chunk, name in names.items():
            _prove(chunk, name, "chunk")

    def add_model(self, model: str, pieces: Iterable[bytes]) -> None:
        """Put a model in place from its pieces, in order.

        Raises:
            TrustError: together they are not what the name says; nothing is kept then.
        """
        part = f"models/.{model}.part"
        digest = hashlib.sha256()
        self.disk.write(part, _hashed(pieces, digest))
        self.disk.sync(part)
        try:
            _prove(model, digest.hexdigest(), "model")
        except TrustError:
            self.disk.remove(part)
            raise
        self.disk.rename(part, f"models/{model}.tody")
        self.disk.sync_folder("models")

    def assemble(self, model: str, chunks: Sequence[str]) -> None:
        """Put a model in place from chunks that are here, then forget the chunks.

        Raises:
            TrustError: a chunk is missing or damaged, or together they are not the model.
        """
        self.add_model(model, map(self.sound_chunk, chunks))
        for chunk in dict.fromkeys(chunks):
            discard(self.disk, f"chunks/{chunk}")

    def sound_chunk(self, chunk: str) -> bytes:
        """A chunk that must be here.

        Raises:
            TrustError: it is missing or damaged.
        """
        content = self.chunk(chunk)
        if content is None:
            raise TrustError(f"chunk {chunk[:12]} is missing or damaged", "it was there before", "it will be fetched again")
        return content

    def tidy(self, models: Iterable[str] = (), chunks: Iterable[str] = ()) -> None:
        """Remove every model that the state does not want, and every chunk, but for those named."""
        keep = {"models": {f"{model}.tody" for model in (*self.state.wanted, *models)}, "chunks": set(chunks)}
        for folder, wanted in keep.items():
            for name in self.disk.names(folder):
                if name not in wanted:
                    discard(self.disk, f"{folder}/{name}")
        self._proved &= {name.removesuffix(".tody") for name in keep["models"]}

    def _clear_parts(self) -> None:
        """Remove files that were never finished."""
        for folder in (".", *FOLDERS):
            for name in self.disk.names(folder):
                if name.startswith(".") and name.endswith(".part"):
                    discard(self.disk, f"{folder}/{name}")


def _hashed(pieces: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _prove(expected: str, got: str, what: str) -> None:
    if got != expected:
        why = f"its SHA-256 is {got[:12]}..., not {expected[:12]}..."
        raise TrustError(f"a {what} is not what it is called", why, "it was damaged or changed on its way; fetch it again")
