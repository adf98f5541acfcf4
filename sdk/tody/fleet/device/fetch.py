"""Bring a release to a device: only what it lacks, checked piece by piece, and kept, so that an interruption costs a window."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from ...errors import TodyError, TrustError
from ..chunks import chunk, cut
from ..delta import apply_delta
from ..documents import Chunk, Delta, Release
from ..mqtt import WINDOW, BrokenRead
from ..source import Source
from .store import Store

Progress = Callable[[int, int], None]


def fetch(
    release: Release, store: Store, source: Source, progress: Progress = lambda done, total: None, window: int = WINDOW
) -> None:
    """Put the release's model into the store: by a delta from a model that is here, or from the chunks that are not.

    Args:
        progress: called with the bytes that are here, and those of all.
        window: how many chunks are asked for at once; what is in flight is lost when the connection breaks.

    Raises:
        TrustError: what was brought is not what was signed.
        OSError: not all of it is there, or the source cannot be reached; what came is kept.
    """
    for base, delta in release.deltas.items():
        if base in store.state.wanted and store.has_model(base):
            with contextlib.suppress(TrustError):
                return _by_delta(release, base, delta, store, source, progress, window)
    _reuse(release, store)
    _bring(release.chunks, store, source, progress, window)
    return store.assemble(release.model, [part.sha256 for part in release.chunks])


def _by_delta(release: Release, base: str, delta: Delta, store: Store, source: Source, progress: Progress, window: int) -> None:
    _bring(delta.chunks, store, source, progress, window)
    packed = b"".join(store.sound_chunk(part.sha256) for part in delta.chunks)
    old = b"".join(store.disk.read(f"models/{base}.tody"))
    store.add_model(release.model, apply_delta(old, packed, release.bytes))


def _reuse(release: Release, store: Store) -> None:
    """Take chunks from the models that are here."""
    lacking = {part.sha256 for part in release.chunks}
    for model in sorted(store.state.wanted):
        with contextlib.suppress(TodyError, OSError):
            for piece in cut(b"".join(store.disk.read(f"models/{model}.tody"))):
                name = chunk(piece).sha256
                if name in lacking:
                    store.add_chunk(name, piece)
                    lacking.discard(name)


def _read(window: Sequence[Chunk], store: Store, source: Source) -> dict[str, bytes | None]:
    """A window; of one that breaks, what came of it is kept."""
    try:
        return source.read([f"blob/{part.sha256}" for part in window])
    except BrokenRead as e:
        names = {part.sha256 for part in window}
        for content in e.found.values():
            if (name := chunk(content).sha256) in names:
                store.add_chunk(name, content)
        raise


def _bring(chunks: Sequence[Chunk], store: Store, source: Source, progress: Progress, size: int) -> None:
    """Read what is not here yet, a window at a time."""
    total = sum(part.bytes for part in chunks)
    lacking = list({part.sha256: part for part in chunks if store.chunk(part.sha256) is None}.values())
    left = sum(part.bytes for part in lacking)
    progress(total - left, total)
    for i in range(0, len(lacking), size):
        window = lacking[i : i + size]
        found = _read(window, store, source)
        for part in window:
            content = found[f"blob/{part.sha256}"]
            if content is None:
                raise FileNotFoundError(f"chunk {part.sha256[:12]} is not there yet")
            store.add_chunk(part.sha256, content)
            left -= len(content)
        progress(total - left, total)
