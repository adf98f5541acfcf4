"""What has been signed for a fleet, in a folder: reading it needs no key.

    metadata/<n>.<role>.json, metadata/timestamp.json    signed metadata; every version is kept
    blobs/<sha256>                                       documents and chunks of models

Files here are the truth; a broker is a cache of them (publish.py). TUF: https://theupdateframework.io, read by python-tuf.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtraError, TrustError, UsageError
from ..disk import FolderDisk, put
from ..documents import Desired, Release, parse_desired, parse_release

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

TIMESTAMP = "timestamp.json"


class Archive:
    """The folder of a repository, made if it is not there."""

    def __init__(self, folder: Path) -> None:
        try:
            import tuf.api.metadata
        except ImportError as e:
            raise MissingExtraError("tuf", "fleet") from e
        self._tuf: Any = tuf.api.metadata
        self.folder, self._disk = folder, FolderDisk(folder)
        for part in ("metadata", "blobs"):
            self._disk.make_folder(part)

    @property
    def exists(self) -> bool:
        return any((self.folder / "metadata").glob("*.root.json"))

    @property
    def root(self) -> bytes:
        """The newest root: what a device is given when it is enrolled."""
        return (self.folder / "metadata" / self._latest("root")).read_bytes()

    @property
    def timestamp(self) -> bytes:
        """What tells, on a broker, which state of the repository it has; empty if there is none yet."""
        path = self.folder / "metadata" / TIMESTAMP
        return path.read_bytes() if path.is_file() else b""

    @property
    def groups(self) -> list[str]:
        delegations = self._load("targets").signed.delegations
        return sorted(role.removeprefix("g-") for role in (delegations.roles if delegations else ()))

    def roles(self) -> list[tuple[str, int, list[str], str]]:
        """Of every role: name, how many must sign, the identifiers of its keys, and until when what it signed is valid."""
        root, targets = self._load("root").signed, self._load("targets").signed
        delegated = targets.delegations.roles if targets.delegations else {}
        found = {**root.roles, **(delegated or {})}
        until = {role: self._load(role).signed.expires for role in found}
        return [(role, about.threshold, list(about.keyids), f"{until[role]:%Y-%m-%d}") for role, about in found.items()]

    def metadata(self) -> dict[str, bytes]:
        """All current metadata and every root, by file name: what devices may ask for. `timestamp.json` is the last."""
        folder = self.folder / "metadata"
        roots = sorted((path.name for path in folder.glob("*.root.json")), key=_version)
        current = [self._latest(role) for role in ("targets", *(f"g-{group}" for group in self.groups), "snapshot")]
        return {file: (folder / file).read_bytes() for file in [*roots, *current, TIMESTAMP]}

    def superseded(self, newer_than: int = 8) -> list[str]:
        """Names of metadata files a few versions old: nobody asks for them any more. The last but one is spared."""
        roles = ("targets", "snapshot", *(f"g-{group}" for group in self.groups))
        latest = {role: _version(self._latest(role)) for role in roles}
        return [f"{n}.{role}.json" for role, last in latest.items() for n in range(max(1, last - newer_than), last - 1)]

    def adopt(self, metadata: Mapping[str, bytes]) -> list[str]:
        """Keep metadata of somebody else who may sign, which has been proved already, where it is newer than what is here.

        Returns:
            the names of the files that were.
        """
        taken = []
        for file, content in metadata.items():
            there = self.folder / "metadata" / file
            newer = (
                not there.exists() if file != TIMESTAMP else _timestamp_version(content) > _timestamp_version(self.timestamp)
            )
            if newer:
                put(self._disk, f"metadata/{file}", [content])
                taken.append(file)
        return taken

    @contextmanager
    def undone_if_it_fails(self) -> Iterator[None]:
        """Forget what is signed in this block if it raises: nobody has seen it, for the timestamp was not published."""
        folder, timestamp = self.folder / "metadata", self.timestamp
        before = set(folder.iterdir())
        try:
            yield
        except BaseException:
            if timestamp:
                put(self._disk, f"metadata/{TIMESTAMP}", [timestamp])
            for path in set(folder.iterdir()) - before:
                path.unlink()
            raise

    def targets(self, group: str) -> dict[str, str]:
        """The signed documents of a group: path -> SHA-256."""
        if group not in self.groups:
            return {}
        return {path: target.hashes["sha256"] for path, target in sorted(self._load(f"g-{group}").signed.targets.items())}

    def document(self, group: str, path: str) -> bytes | None:
        """A signed document as it stands here, or None."""
        sha256 = self.targets(group).get(path)
        return self.blob(sha256) if sha256 else None

    def desired(self, group: str) -> Desired | None:
        """What a group shall run, or None if nothing has been asked of it.

        Raises:
            TrustError: the document is damaged or gone.
        """
        sha256 = self.targets(group).get(f"desired/{group}.json")
        return parse_desired(self._sound_blob(sha256)) if sha256 else None

    def releases(self, group: str) -> list[Release]:
        """The releases of a group, oldest first; those whose files are not whole any more are left out."""
        found = []
        for path, sha256 in self.targets(group).items():
            content = self.blob(sha256)
            if path.startswith("release/") and content is not None:
                release = parse_release(content)
                if all(self.blob(part.sha256) is not None for part in release.chunks):
                    found.append(release)
        return sorted(found, key=lambda release: release.version)

    def model(self, release: Release) -> bytes:
        """The file of a release.

        Raises:
            TrustError: a part of it is damaged or gone.
        """
        return b"".join(self._sound_blob(part.sha256) for part in release.chunks)

    def add_blob(self, content: bytes) -> str:
        """Keep a document or a chunk; returns its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.blob(sha256) is None:
            put(self._disk, f"blobs/{sha256}", [content])
        return sha256

    def blob(self, sha256: str) -> bytes | None:
        """A document or chunk, or None if it is not here or damaged."""
        path = self.folder / "blobs" / sha256
        content = path.read_bytes() if path.is_file() else b""
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def named(self) -> list[str]:
        """The SHA-256 of every document and chunk that is named by what is signed, as far as the documents are here."""
        wanted: dict[str, None] = {}
        for group in self.groups:
            for path, sha256 in self.targets(group).items():
                wanted[sha256] = None
                content = self.blob(sha256) if path.startswith("release/") else None
                wanted.update(dict.fromkeys(parts_of(parse_release(content)) if content else ()))
        return list(wanted)

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """All documents and chunks that the signed documents name.

        Raises:
            TrustError: one of them is damaged or gone.
        """
        return ((sha256, self._sound_blob(sha256)) for sha256 in self.named())

    def strays(self) -> list[str]:
        """Documents and chunks that nothing names any more."""
        return sorted({path.name for path in (self.folder / "blobs").iterdir()} - set(self.named()))

    def forget(self, blobs: Iterable[str]) -> None:
        for sha256 in blobs:
            (self.folder / "blobs" / sha256).unlink(missing_ok=True)

    def _sound_blob(self, sha256: str) -> bytes:
        content = self.blob(sha256)
        if content is None:
            raise TrustError(f"blob {sha256[:12]} is damaged or gone", str(self.folder), "push the model again")
        return content

    def _latest(self, role: str) -> str:
        if role == "timestamp":
            return TIMESTAMP
        files = [p.name for p in (self.folder / "metadata").glob(f"*.{role}.json") if p.name.split(".")[1] == role]
        if not files:
            raise UsageError(f"{self.folder} holds no repository", f"there is no {role}", "tody keys init makes one")
        return max(files, key=_version)

    def _load(self, role: str) -> Metadata[Any]:
        path = self.folder / "metadata" / self._latest(role)
        try:
            loaded: Metadata[Any] = self._tuf.Metadata.from_bytes(path.read_bytes())
        except Exception as e:
            raise TrustError(f"{path} is damaged", str(e), "restore it from your backup", "malformed") from e
        return loaded


def parts_of(release: Release) -> Iterator[str]:
    """The SHA-256 of every chunk of a release and of its deltas."""
    for parts in (release.chunks, *(delta.chunks for delta in release.deltas.values())):
        yield from (part.sha256 for part in parts)


def _version(file: str) -> int:
    return int(file.split(".")[0])


def _timestamp_version(content: bytes) -> int:
    return int(json.loads(content)["signed"]["version"]) if content else 0
