"""Take over what was signed elsewhere: by a keeper, by another laptop, by this one before it was lost."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ...errors import TrustError
from ..device.store import Store
from ..device.trust import Trust
from ..disk import FolderDisk
from ..documents import parse_release
from ..source import Source, one
from .archive import TIMESTAMP, Archive, parts_of

_LONG_AGO = 0.0  # a time at which nothing has expired: what is too old for devices still tells which versions are taken


def merge(archive: Archive, source: Source) -> bool:
    """Bring an archive up to what a source has, where that is newer; what is newer here stays.

    Everything is proved from the archive's own root on, so that nobody can slip anything in.

    Returns:
        whether anything was taken over.

    Raises:
        TrustError: what the source has was not signed for this fleet, or is damaged; nothing was taken over.
        OSError: the source cannot be reached.
    """
    there = one(source, f"meta/{TIMESTAMP}", 1 << 20)
    if there == archive.timestamp:
        for _ in ("documents", "chunks that they name"):
            _bring(archive.named(), archive, source)  # what was damaged here
    if there in (None, archive.timestamp):
        return False
    metadata = _proved(archive, source)
    _bring_blobs(metadata.values(), archive, source)
    return bool(archive.adopt(metadata))


def _proved(archive: Archive, source: Source) -> dict[str, bytes]:
    """The source's metadata by file name, the timestamp last, as a device would come to believe it."""
    seen: dict[str, bytes] = {}

    def get(path: str, most: int) -> bytes | None:
        content = one(source, path, most)
        if content is not None and path.startswith("meta/"):
            seen[path.removeprefix("meta/")] = content
        return content

    with tempfile.TemporaryDirectory() as folder:
        store = Store(FolderDisk(Path(folder) / "store"))
        trust = Trust(Path(folder) / "meta", archive.root, get, store, now=lambda: _LONG_AGO)
        trust.refresh()
        targets = next(content for file, content in seen.items() if file.endswith(".targets.json"))
        for role in (json.loads(targets)["signed"].get("delegations") or {}).get("roles", ()):
            group = role["name"].removeprefix("g-")
            with contextlib.suppress(TrustError, FileNotFoundError):  # nothing may have been asked of the group yet
                trust.document(f"desired/{group}.json")
    return {**{file: content for file, content in seen.items() if file != TIMESTAMP}, TIMESTAMP: seen[TIMESTAMP]}


def _bring_blobs(metadata: Iterable[bytes], archive: Archive, source: Source) -> None:
    """The documents first, for they name the chunks."""
    targets = {
        path: target["hashes"]["sha256"]
        for content in metadata
        for path, target in json.loads(content)["signed"].get("targets", {}).items()
    }
    _bring(targets.values(), archive, source)
    releases = [archive.blob(sha256) for path, sha256 in targets.items() if path.startswith("release/")]
    _bring((part for content in releases if content for part in parts_of(parse_release(content))), archive, source)


def _bring(blobs: Iterable[str], archive: Archive, source: Source) -> None:
    """Those that are not here. What the source has lost too cannot be helped: its release is left out from then on."""
    lacking = [sha256 for sha256 in dict.fromkeys(blobs) if archive.blob(sha256) is None]
    for found in source.stream([f"blob/{sha256}" for sha256 in lacking]):
        for content in found.values():
            if content is not None:
                archive.add_blob(content)  # under the name of what it is; a wrong one names nothing, and is swept away
