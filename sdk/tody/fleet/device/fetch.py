"""Bring a release to a device: only what it lacks, checked piece by piece, and kept, so that an interruption costs a window."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from ...errors import TodyError, TrustError
from ..chunks import chunk, cut
from ..delta import apply_delta
from ..documents import Chunk, Delta, Release
from ..mqtt import BrokenRead
from ..source import Source
from .store import Store

Progress = Callable[[int, int], None]


def fetch(release: Release, store: Store, source: Source, progress: Progress = lambda done, total: None) -> None:
    """Put the release's model into the store: by a delta from a model that is here, or from the chunks that are not.

    Args:
        progress: called with the bytes that are here, and those of all.

    Raises:
        TrustError: what was brought is not what was signed.
        OSError: not all of it is there, or the source cannot be reached; what came is kept.
    """
    for base, delta in release.deltas.items():
        if base in store.state.wanted and store.has_model(base):
            with contextlib.suppress(TrustError):
                return _by_delta(release, base, delta, store, source, progress)
    _reuse(release, store)
    _bring(release.chunks, store, source, progress)
    return store.assemble(release.model, [part.sha256 for part in release.chunks])


def _by_delta(release: Release, base: str, delta: Delta, store: Store, source: Source, progress: Progress) -> None:
    _bring(delta.chunks, store, source, progress)
    packed = b"".join(store.sound_chunk(part.sha256) for part in delta.chunks)
    old = b"".join(store.disk.read(f"models/{base}.tody"))
    store.add_model(release.model, apply_delta(old, packed, release.bytes))


def _reuse(release: Release, store: Store) -> None:
    """Take chunks from the models that are here."""
    lacking = {part.sha256 for part in release.chunks}
    for model in sorted(store.state.wanted):
        with contextlib.suppress(TodyError, OSError):
            content = b"".join(store.disk.read(f"models/{model}.tody"))
            here = {name: piece for piece in cut(content) if (name := chunk(piece).sha256) in lacking}
            lacking -= set(here)
            store.add_chunks(here)


def _bring(chunks: Sequence[Chunk], store: Store, source: Source, progress: Progress) -> None:
    """Read what is not here yet."""
    total = sum(part.bytes for part in chunks)
    lacking = {part.sha256: part.bytes for part in chunks if store.chunk(part.sha256) is None}
    left = sum(lacking.values())
    progress(total - left, total)
    try:
        for found in source.stream([f"blob/{sha256}" for sha256 in lacking]):
            here = {path.removeprefix("blob/"): content for path, content in found.items() if content is not None}
            store.add_chunks(here)
            if len(here) < len(found):
                raise FileNotFoundError(f"{len(found) - len(here)} chunks are not there yet")
            left -= sum(lacking[sha256] for sha256 in here)
            progress(total - left, total)
    except BrokenRead as e:
        store.add_chunks({name: content for content in e.found.values() if (name := chunk(content).sha256) in lacking})
        raise
