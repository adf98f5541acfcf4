"""The fleet's TUF repository in a folder of the laptop: who may sign what, and what has been signed.

    metadata/<n>.<role>.json, metadata/timestamp.json    signed metadata; every version is kept
    blobs/<sha256>                                       documents and chunks of models

Files here are the truth; a broker is a cache of them (publish.py). TUF: https://theupdateframework.io, read by python-tuf.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, TrustError, UsageError
from .disk import FolderDisk, put
from .documents import Desired, Release, encode, name, parse_release
from .keys import Keyring, Signer
from .trust import SIGNED_AT

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

ROOTS, ROOT_THRESHOLD = 3, 2
DAYS = {"root": 730, "targets": 365, "group": 365, "online": 30}
ONLINE = "online"  # the key of snapshot and timestamp: all that a keeper needs


class Repository:
    """Opened with the keys that are needed for what is done; reading needs none.

    Args:
        folder: of `metadata/` and `blobs/`.
        keys: may lack the keys of roles that are not signed.
        now: the time, with its zone.
    """

    def __init__(self, folder: Path, keys: Keyring, now: Any = lambda: datetime.now(timezone.utc)) -> None:
        try:
            import tuf.api.metadata
        except ImportError as e:
            raise MissingExtraError("tuf", "fleet") from e
        self._tuf: Any = tuf.api.metadata
        self.keys, self._now = keys, now
        self.folder, self._disk = folder, FolderDisk(folder)
        for part in ("metadata", "blobs"):
            self._disk.make_folder(part)

    @property
    def exists(self) -> bool:
        return (self.folder / "metadata" / "1.root.json").is_file()

    def create(self) -> None:
        """Make all keys and sign an empty repository: root 2 of 3, targets, and one online key for snapshot and timestamp.

        Raises:
            UsageError: there is one already.
        """
        if self.exists:
            raise UsageError(f"{self.folder} holds a repository already", "", "name another folder")
        tuf = self._tuf
        root = tuf.Root(expires=self._expires("root"), consistent_snapshot=True)
        roots = [self.keys.create(f"root-{i + 1}") for i in range(ROOTS)]
        for signer in roots:
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = ROOT_THRESHOLD
        targets_key, online = self.keys.create("targets-1"), self.keys.create(ONLINE)
        root.add_key(targets_key.public_key, "targets")
        for role in ("snapshot", "timestamp"):
            root.add_key(online.public_key, role)
        self._write("root", root, roots)
        self._write("targets", tuf.Targets(expires=self._expires("targets")), [targets_key])
        self._write("snapshot", tuf.Snapshot(expires=self._expires("online")), [online])
        timestamp = tuf.Timestamp(expires=self._expires("online"), unrecognized_fields={SIGNED_AT: self._seconds()})
        self._write("timestamp", timestamp, [online])
        self.sign_online()

    def add_group(self, group: str) -> None:
        """Give a group a role and a key of its own, which may sign what its devices shall run and nothing else.

        Raises:
            UsageError: the name is none, or there is such a group.
        """
        try:
            role = f"g-{name(group)}"
        except ValueError as e:
            raise UsageError(f"a group cannot be called {group!r}", str(e), "garden, or door-2") from e
        tuf, targets = self._tuf, self._load("targets")
        delegations = targets.signed.delegations or tuf.Delegations(keys={}, roles={})
        if role in (delegations.roles or {}):
            raise UsageError(f"there is a group {group} already", "", "")
        signer = self.keys.create(role)
        paths = [f"desired/{group}.json", f"release/{group}/*"]
        delegations.roles[role] = tuf.DelegatedRole(role, [], 1, True, paths=paths)
        targets.signed.delegations = delegations
        targets.signed.add_key(signer.public_key, role)
        self._write(role, tuf.Targets(expires=self._expires("group")), [signer])
        self._sign_next("targets", targets, [self.keys.signer("targets-1")], "targets")
        self.sign_online()

    @property
    def groups(self) -> list[str]:
        delegations = self._load("targets").signed.delegations
        return sorted(role.removeprefix("g-") for role in (delegations.roles if delegations else ()))

    def sign_documents(self, group: str, releases: Sequence[Release], desired: Desired | None) -> None:
        """Sign releases and the desired state of a group, and a new snapshot and timestamp.

        Raises:
            UsageError: there is no such group, or its key is not here.
        """
        role = f"g-{group}"
        if group not in self.groups:
            raise UsageError(
                f"there is no group {group}", f"there are {', '.join(self.groups) or 'none'}", "Repository.add_group makes one"
            )
        metadata = self._load(role)
        for release in releases:
            self._target(metadata, f"release/{group}/{release.model}.json", encode(release))
        if desired is not None:
            self._target(metadata, f"desired/{group}.json", encode(desired))
        self._sign_next(role, metadata, [self.keys.signer(role)], "group")
        self.sign_online()

    def document(self, group: str, path: str) -> bytes | None:
        """A signed document as it stands here, or None."""
        target = self._load(f"g-{group}").signed.targets.get(path) if group in self.groups else None
        return self.blob(target.hashes["sha256"]) if target else None

    def sign_online(self) -> None:
        """A new snapshot and a new timestamp. Also what a keeper does, before the old ones expire."""
        tuf, signer = self._tuf, self.keys.signer(ONLINE)
        snapshot = self._load("snapshot")
        roles = ["targets", *(f"g-{group}" for group in self.groups)]
        meta = {f"{role}.json": tuf.MetaFile(self._load(role).signed.version) for role in roles}
        if meta != snapshot.signed.meta or self._half_gone(snapshot):
            snapshot.signed.meta = meta
            self._sign_next("snapshot", snapshot, [signer], "online")
        timestamp = self._load("timestamp")
        timestamp.signed.snapshot_meta = tuf.MetaFile(snapshot.signed.version)
        timestamp.signed.unrecognized_fields[SIGNED_AT] = self._seconds()
        self._sign_next("timestamp", timestamp, [signer], "online")

    def rotate(self, role: str) -> str:
        """Replace the key of `targets`, `online` or a group by a new one; returns the new key's name. The old one is void.

        Raises:
            UsageError: there is no such role, or a key that has to sign is not here.
        """
        old = ONLINE if role == ONLINE else "targets-1" if role == "targets" else f"g-{role}"
        if role not in (ONLINE, "targets", *self.groups):
            raise UsageError(f"no key belongs to {role!r}", f"online, targets, {', '.join(self.groups)} have one", "")
        retired = self.folder_of_keys / f"{old}.pem"
        former = self.keys.signer(old)
        retired.rename(retired.with_suffix(f".{former.public_key.keyid[:8]}.old"))
        signer = self.keys.create(old)
        if role in (ONLINE, "targets"):
            self._replace_in_root(("snapshot", "timestamp") if role == ONLINE else ("targets",), former, signer)
        else:
            self._replace_in_targets(old, former, signer)
        self.sign_online()
        keyid: str = signer.public_key.keyid
        return keyid

    @property
    def folder_of_keys(self) -> Path:
        return self.keys.folder

    def _replace_in_root(self, roles: tuple[str, ...], former: Signer, signer: Signer) -> None:
        root = self._load("root")
        for role in roles:
            root.signed.revoke_key(former.public_key.keyid, role)
            root.signed.add_key(signer.public_key, role)
        self._sign_next("root", root, self._root_signers(), "root")
        for role in roles:
            if role == "targets":
                self._sign_next("targets", self._load("targets"), [signer], "targets")
            elif role == "snapshot":
                self._sign_next("snapshot", self._load("snapshot"), [signer], "online")

    def _replace_in_targets(self, role: str, former: Signer, signer: Signer) -> None:
        targets = self._load("targets")
        targets.signed.revoke_key(former.public_key.keyid, role)
        targets.signed.add_key(signer.public_key, role)
        self._sign_next("targets", targets, [self.keys.signer("targets-1")], "targets")
        self._sign_next(role, self._load(role), [signer], "group")

    def _root_signers(self) -> list[Signer]:
        here = [name for name in self.keys.names() if name.startswith("root-")]
        if len(here) < ROOT_THRESHOLD:
            why = f"{len(here)} of the root keys are here"
            raise UsageError(f"{ROOT_THRESHOLD} root keys must sign", why, "bring them back from where you keep them")
        return [self.keys.signer(name) for name in here]

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

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """All documents and chunks that the signed documents name.

        Raises:
            TrustError: one of them is damaged or gone.
        """
        wanted: dict[str, None] = {}
        for group in self.groups:
            for path, target in sorted(self._load(f"g-{group}").signed.targets.items()):
                wanted[target.hashes["sha256"]] = None
                if path.startswith("release/"):
                    release = parse_release(self._sound_blob(target.hashes["sha256"]))
                    parts = [*release.chunks, *(part for delta in release.deltas.values() for part in delta.chunks)]
                    wanted.update(dict.fromkeys(part.sha256 for part in parts))
        return ((sha256, self._sound_blob(sha256)) for sha256 in wanted)

    def _sound_blob(self, sha256: str) -> bytes:
        content = self.blob(sha256)
        if content is None:
            raise TrustError(f"blob {sha256[:12]} is damaged or gone", str(self.folder), "push the model again")
        return content

    def metadata(self) -> dict[str, bytes]:
        """All current metadata and every root, by file name: what devices may ask for. `timestamp.json` is the last."""
        folder = self.folder / "metadata"
        roots = sorted((path.name for path in folder.glob("*.root.json")), key=_version)
        current = [self._latest(role) for role in ("targets", *(f"g-{group}" for group in self.groups), "snapshot")]
        return {file: (folder / file).read_bytes() for file in [*roots, *current, "timestamp.json"]}

    @property
    def root(self) -> bytes:
        """The newest root: what a device is given when it is enrolled."""
        return (self.folder / "metadata" / self._latest("root")).read_bytes()

    def _latest(self, role: str) -> str:
        if role == "timestamp":
            return "timestamp.json"
        files = [p.name for p in (self.folder / "metadata").glob(f"*.{role}.json") if p.name.split(".")[1] == role]
        if not files:
            raise UsageError(f"{self.folder} holds no repository", "", "Repository.create makes one")
        return max(files, key=_version)

    def _load(self, role: str) -> Metadata[Any]:
        path = self.folder / "metadata" / self._latest(role)
        try:
            loaded: Metadata[Any] = self._tuf.Metadata.from_bytes(path.read_bytes())
        except Exception as e:
            raise TrustError(f"{path} is damaged", str(e), "restore it from your backup", "malformed") from e
        return loaded

    def _target(self, metadata: Metadata[Any], path: str, content: bytes) -> None:
        self.add_blob(content)
        metadata.signed.targets[path] = self._tuf.TargetFile.from_data(path, content, ["sha256"])

    def _sign_next(self, role: str, metadata: Metadata[Any], signers: Iterable[Signer], kind: str) -> None:
        metadata.signed.version += 1
        metadata.signed.expires = self._expires(kind)
        self._write(role, metadata.signed, signers)

    def _write(self, role: str, signed: Any, signers: Iterable[Signer]) -> None:
        from tuf.api.serialization.json import JSONSerializer

        metadata = self._tuf.Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        file = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        put(self._disk, f"metadata/{file}", [metadata.to_bytes(JSONSerializer(compact=True))])

    def _half_gone(self, metadata: Metadata[Any]) -> bool:
        return bool(metadata.signed.expires - self._now() < timedelta(days=DAYS["online"] / 2))

    def _expires(self, kind: str) -> datetime:
        at: datetime = self._now() + timedelta(days=DAYS[kind])
        return at.replace(microsecond=0)

    def _seconds(self) -> int:
        return int(self._now().timestamp())


def _version(file: str) -> int:
    return int(file.split(".")[0])
