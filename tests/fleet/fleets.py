"""A small fleet to test with: a repository whose keys are made once, and copies of it that a test may spoil."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tody.fleet.device.store import Store
from tody.fleet.device.trust import Trust
from tody.fleet.disk import FolderDisk
from tody.fleet.documents import Chunk, Desired, Release
from tody.fleet.laptop.keys import Keyring
from tody.fleet.laptop.publish import BrokerSink
from tody.fleet.laptop.repository import Repository
from tody.fleet.source import one

MODEL, OTHER = "a" * 64, "b" * 64


def release(model: str = MODEL, version: int = 1, **facts: Any) -> Release:
    return Release(model, 5, "door", version, 0, (Chunk("c" * 64, 5),), **facts)


def desired(generation: int = 1, model: str = MODEL, **facts: Any) -> Desired:
    return Desired("garden", generation, model, **facts)


def make_repository(folder: Path, **options: Any) -> Repository:
    """A repository with the group garden."""
    repository = Repository(folder / "repository", Keyring(folder / "keys", lambda purpose: "door"), **options)
    repository.create()
    repository.add_group("garden")
    return repository


@dataclass
class Broker:
    """The files of a repository as a broker would hand them out; a test may change any.

    Attributes:
        files: by `meta/<file>` and `blob/<sha256>`.
        asked: what devices asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, repository: Repository) -> None:
        self.files.update({f"meta/{name}": content for name, content in repository.metadata().items()})
        for path in (repository.folder / "blobs").iterdir():
            self.files[f"blob/{path.name}"] = path.read_bytes()

    def get(self, path: str, most: int) -> bytes | None:
        self.asked.append(path)
        return self.files.get(path)

    def newest(self, role: str) -> str:
        """The path of the newest metadata of a role."""
        paths = [p for p in self.files if p.startswith("meta/") and p.endswith(f"{role}.json")]
        return max(paths, key=lambda p: (len(p), p))

    def change(self, role: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the newest metadata of a role without signing it again."""
        facts = json.loads(self.files[self.newest(role)])
        change(facts)
        self.files[self.newest(role)] = json.dumps(facts).encode()


class RealBroker(Broker):
    """What a test does to the files is done to a real broker before a device reads there."""

    def __init__(self, sink: BrokerSink) -> None:
        super().__init__()
        self._sink = sink
        self._there: dict[str, bytes] = {}

    def get(self, path: str, most: int) -> bytes | None:
        gone = dict.fromkeys(self._there.keys() - self.files.keys(), b"")
        changed = {p: content for p, content in self.files.items() if self._there.get(p) != content}
        self._sink.write(gone | changed)
        self._there = dict(self.files)
        return one(self._sink, path, most)


def device(folder: Path, broker: Broker, root: bytes, **options: Any) -> Trust:
    """A device's trust, with its store in the folder."""
    return Trust(folder / "meta", root, broker.get, Store(FolderDisk(folder / "store")), **options)
