"""The fleet's TUF repository in a folder of the laptop: who may sign what, and signing it (archive.py reads it)."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ..device.trust import SIGNED_AT
from ..disk import put
from ..documents import Desired, Release, encode, name
from .archive import Archive
from .keys import Keyring, Signer

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

ROOT_KEYS, ROOT_THRESHOLD = ("root-1", "root-2", "root-3"), 2
DAYS = {"root": 730, "targets": 365, "group": 365, "online": 30}
ONLINE = "online"  # the key of snapshot and timestamp: all that a keeper needs
NEXT = "-next"  # of the name of a key that is about to replace another


class Repository(Archive):
    """Opened with the keys that are needed for what is done; reading needs none.

    Args:
        folder: of `metadata/` and `blobs/`.
        keys: may lack the keys of roles that are not signed.
        now: the time, with its zone.
    """

    def __init__(self, folder: Path, keys: Keyring, now: Any = lambda: datetime.now(timezone.utc)) -> None:
        super().__init__(folder)
        self.keys, self._now = keys, now

    def create(self) -> None:
        """Make all keys and sign an empty repository: root 2 of 3, targets, and one online key for snapshot and timestamp.

        Raises:
            UsageError: there is one already.
        """
        if self.exists:
            raise UsageError(f"{self.folder} holds a repository already", "its keys would be lost", "name another folder")
        tuf = self._tuf
        root = tuf.Root(expires=self._expires("root"), consistent_snapshot=True)
        roots = [self.keys.create(key) for key in ROOT_KEYS]
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
            raise UsageError(f"there is a group {group} already", "it has a key of its own", "push to it, or name another one")
        above = self.keys.signer("targets-1")
        self.keys.signer(ONLINE)
        signer = self.keys.create(role)
        paths = [f"desired/{group}.json", f"release/{group}/*"]
        delegations.roles[role] = tuf.DelegatedRole(role, [], 1, True, paths=paths)
        targets.signed.delegations = delegations
        targets.signed.add_key(signer.public_key, role)
        self._write(role, tuf.Targets(expires=self._expires("group")), [signer])
        self._sign_next("targets", targets, [above], "targets")
        self.sign_online()

    def sign_documents(
        self, group: str, releases: Sequence[Release], desired: Desired | None, drop: Iterable[str] = ()
    ) -> None:
        """Sign releases and the desired state of a group, and a new snapshot and timestamp.

        Args:
            drop: models whose releases are signed no longer.

        Raises:
            UsageError: there is no such group, or its key is not here.
        """
        role = f"g-{group}"
        if group not in self.groups:
            raise UsageError(
                f"there is no group {group}", f"there are {', '.join(self.groups) or 'none'}", "tody keys add GROUP makes one"
            )
        metadata = self._load(role)
        for model in drop:
            metadata.signed.targets.pop(f"release/{group}/{model}.json", None)
        for release in releases:
            self._target(metadata, f"release/{group}/{release.model}.json", encode(release))
        if desired is not None:
            self._target(metadata, f"desired/{group}.json", encode(desired))
        self._sign_next(role, metadata, [self.keys.signer(role)], "group")
        targets = self._load("targets")
        if self._half_gone(targets, "targets") and "targets-1" in self.keys.names():
            self._sign_next("targets", targets, [self.keys.signer("targets-1")], "targets")
        self.sign_online()

    def sign_online(self) -> None:
        """A new snapshot and a new timestamp. Also what a keeper does, before the old ones expire."""
        tuf, signer = self._tuf, self.keys.signer(ONLINE)
        snapshot = self._load("snapshot")
        roles = ["targets", *(f"g-{group}" for group in self.groups)]
        meta = {f"{role}.json": tuf.MetaFile(self._load(role).signed.version) for role in roles}
        if meta != snapshot.signed.meta or self._half_gone(snapshot, "online"):
            snapshot.signed.meta = meta
            self._sign_next("snapshot", snapshot, [signer], "online")
        timestamp = self._load("timestamp")
        timestamp.signed.snapshot_meta = tuf.MetaFile(snapshot.signed.version)
        timestamp.signed.unrecognized_fields[SIGNED_AT] = self._seconds()
        self._sign_next("timestamp", timestamp, [signer], "online")

    @property
    def signed_at(self) -> int:
        """When the timestamp was signed, in seconds since 1970."""
        return int(self._load("timestamp").signed.unrecognized_fields.get(SIGNED_AT, 0))

    def rotate(self, role: str) -> str:
        """Replace the key of `targets`, `online`, a group or one root key (`root-2`) by a new one; the old one is void.

        The old key need not be here: it may be lost, or in the wrong hands.

        Returns:
            the identifier of the new key.

        Raises:
            UsageError: there is no such role, or a key that has to sign is not here.
        """
        names = {ONLINE: ONLINE, "targets": "targets-1", **{group: f"g-{group}" for group in self.groups}}
        names |= {root: root for root in ROOT_KEYS}
        if role not in names:
            raise UsageError(f"no key belongs to {role!r}", f"there are {', '.join(names)}", "name one of them")
        key = names[role]
        others = [self.keys.signer(root) for root in self._roots_here(key)] if role not in self.groups else []
        above = self.keys.signer("targets-1") if role in self.groups else None
        signer = self.keys.create(f"{key}{NEXT}")
        if above:
            self._replace_in_targets(key, signer, above)
        else:
            self._replace_in_root(key, signer, others)
        self.keys.replace(key, f"{key}{NEXT}")
        self.sign_online()
        keyid: str = signer.public_key.keyid
        return keyid

    def _roots_here(self, but: str) -> list[str]:
        here = [root for root in ROOT_KEYS if root in self.keys.names() and root != but]
        if len(here) < ROOT_THRESHOLD:
            why = f"of the root keys {', '.join(here) or 'none'} can sign"
            raise UsageError(f"{ROOT_THRESHOLD} root keys must sign", why, "bring them back from where you keep them")
        return here

    def _replace_in_root(self, key: str, signer: Signer, others: Sequence[Signer]) -> None:
        root = self._load("root")
        roles = {ONLINE: ("snapshot", "timestamp"), "targets-1": ("targets",)}.get(key, ("root",))
        for role in roles:
            staying = {other.public_key.keyid for other in others} if role == "root" else set()
            for former in set(root.signed.roles[role].keyids) - staying:
                root.signed.revoke_key(former, role)
            root.signed.add_key(signer.public_key, role)
        self._sign_next("root", root, [*others, signer] if "root" in roles else others, "root")
        if "targets" in roles:
            self._sign_next("targets", self._load("targets"), [signer], "targets")
        elif "snapshot" in roles:
            self._sign_next("snapshot", self._load("snapshot"), [signer], "online")

    def _replace_in_targets(self, role: str, signer: Signer, above: Signer) -> None:
        targets = self._load("targets")
        for former in list(targets.signed.delegations.roles[role].keyids):
            targets.signed.revoke_key(former, role)
        targets.signed.add_key(signer.public_key, role)
        self._sign_next("targets", targets, [above], "targets")
        self._sign_next(role, self._load(role), [signer], "group")

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

    def _half_gone(self, metadata: Metadata[Any], kind: str) -> bool:
        return bool(metadata.signed.expires - self._now() < timedelta(days=DAYS[kind] / 2))

    def _expires(self, kind: str) -> datetime:
        at: datetime = self._now() + timedelta(days=DAYS[kind])
        return at.replace(microsecond=0)

    def _seconds(self) -> int:
        return int(self._now().timestamp())
