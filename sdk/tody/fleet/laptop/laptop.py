"""The folder of a fleet on a laptop: what belongs to it, and where its keys, its repository and its broker are.

fleet.json      the fleet's name, its broker, its groups and devices
keys/           signing keys, each encrypted (keys.py)
repository/     what has been signed (repository.py)
authority/      who issues certificates (certificates.py)
broker/         the broker's configuration, if it was made here
id/             ca.crt, tody.crt, tody.key: who the laptop is to the broker; in watch/ and page/ the same for who only looks
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import DeviceError, UsageError
from ..address import Address
from ..disk import FolderDisk, put
from ..documents import name
from ..mqtt import Link
from ..topics import Topics
from .archive import Archive
from .keys import Keyring
from .repository import Repository

FILE = "fleet.json"
CLIENT = "laptop"  # its name to the broker, and in its certificate
VIEWER, PAGE = "watch", "page"  # its other names, which only look: a broker lets each name in once, and the first may push
Ask = Callable[[str], str]


@dataclass
class Laptop:
    """A fleet as its owner sees it. Change it, then `save`.

    Attributes:
        folder: of the fleet.
        fleet: its name, part of every topic.
        broker: the broker's URL; empty: none, releases go by folders only.
        groups: group -> facts about it (none yet).
        devices: device -> its group.
    """

    folder: Path
    fleet: str
    broker: str = ""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def load(folder: Path | None = None) -> Laptop:
        """The fleet of a folder; without one, the only fleet of this user.

        Raises:
            UsageError: there is none, there are several, or the file is not sound.
        """
        folder = folder or _only_fleet()
        try:
            facts = json.loads((folder / FILE).read_bytes())
            groups = {name(group): dict(about) for group, about in facts["groups"].items()}
            devices = {name(device): name(group) for device, group in facts["devices"].items()}
            return Laptop(folder, name(facts["fleet"]), str(facts["broker"]), groups, devices)
        except FileNotFoundError as e:
            raise UsageError(f"{folder} holds no fleet", f"it has no {FILE}", "tody keys init makes one") from e
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            why = f"{type(e).__name__}: {str(e)[:200]}"
            raise UsageError(f"{folder / FILE} is not sound", why, "restore it from your backup") from e

    def save(self) -> None:
        """Write `fleet.json`, whole or not at all."""
        facts = {key: getattr(self, key) for key in ("fleet", "broker", "groups", "devices")}
        put(FolderDisk(self.folder), FILE, [json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n"])

    @property
    def topics(self) -> Topics:
        return Topics(self.fleet)

    @property
    def authority(self) -> Path:
        """The folder of the certificate authority."""
        return self.folder / "authority"

    @property
    def identity(self) -> Path:
        """The folder of what the broker knows the laptop by."""
        return self.folder / "id"

    def devices_of(self, group: str) -> list[str]:
        return sorted(device for device, its_group in self.devices.items() if its_group == group)

    def keyring(self, ask: Ask) -> Keyring:
        return Keyring(self.folder / "keys", ask)

    @property
    def archive(self) -> Archive:
        """The repository to read: without keys."""
        return Archive(self.folder / "repository")

    def repository(self, ask: Ask) -> Repository:
        """The repository; `ask` is called for the passphrase when a key has to be opened."""
        return Repository(self.folder / "repository", self.keyring(ask))

    def link(self, client: str = CLIENT) -> Link:
        """A connection to the broker, not opened yet.

        Raises:
            UsageError: no broker is known, or its address cannot be used.
        """
        if not self.broker:
            why = f"{self.folder / FILE} names none"
            raise UsageError(f"the fleet {self.fleet} has no broker", why, "tody keys broker URL, or push with --to FOLDER")
        return Link(Address.parse(self.broker, self.identity), client, self.topics.up(client, "probe"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else signs meanwhile: two who signed the same version would both be believed, by different devices.

        Raises:
            DeviceError: somebody does.
        """
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise DeviceError(f"somebody else signs for {self.fleet} now", str(self.folder), "try again soon") from e
            yield
        finally:
            os.close(handle)


def make(folder: Path | None, fleet: str, ask: Ask, groups: Sequence[str] = (), broker: str = "") -> Laptop:
    """A new fleet: its folder, its keys, its groups. An interruption leaves nothing.

    Args:
        folder: to be made; None: the usual place.
        ask: called for the passphrase of the new keys.

    Raises:
        UsageError: a name or the URL is none, or there is something in the folder.
    """
    try:
        folder = folder or fleets() / name(fleet)
        part = folder.with_name(f".{folder.name}.part")
        made = Laptop(part, name(fleet), broker, {name(group): {} for group in groups})
    except ValueError as e:
        raise UsageError(f"{fleet!r} or one of its groups cannot be called so", str(e), "home, or farm-2") from e
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "a fleet's keys could be lost", "name another folder with --fleet-dir")
    if broker:
        Address.check(broker)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        repository = made.repository(ask)
        repository.create()
        for group in made.groups:
            repository.add_group(group)
        made.save()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return replace(made, folder=folder)


def fleets() -> Path:
    """The folder of this user's fleets."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tody" / "fleets"


def _only_fleet() -> Path:
    found = sorted(path.parent for path in fleets().glob(f"*/{FILE}"))
    if len(found) != 1:
        why = f"{fleets()} has {', '.join(path.name for path in found)}" if found else f"{fleets()} has none"
        hint = "name one with --fleet-dir" if found else "tody keys init FLEET makes one; --fleet-dir names another place"
        raise UsageError("it is not clear which fleet is meant" if found else "there is no fleet yet", why, hint)
    return found[0]
