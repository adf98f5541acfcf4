"""A disk that loses power, and the device that lives on it.

The disk keeps what was written apart from what was synced. `survivors` says what is left when the power fails now: the promises
of POSIX and no more. Five ways of losing: nothing unsynced survives; all of it does; names survive but the content behind them
does not; the last bytes are torn; any subset survives, in any order.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tody.fleet.device.cycle import Cycle, Wish
from tody.fleet.device.store import Store

MODES = ("lost", "kept", "empty", "torn", "some")


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it."""


@dataclass
class Inode:
    """A file: what is synced, and what was written since (None: nothing)."""

    synced: bytes = b""
    written: bytes | None = None

    @property
    def now(self) -> bytes:
        return self.synced if self.written is None else self.written


@dataclass
class SimDisk:
    """`tody.fleet.disk.Disk` in memory, with a fuse.

    Attributes:
        names_synced, names_now: path -> file, as the folders on the disk and in the cache have them.
        pending: the changes of names since their folder was synced, in order: (path, file or None).
        fuse: operations that are left before the power fails; -1: it does not fail.
    """

    names_synced: dict[str, Inode] = field(default_factory=dict)
    names_now: dict[str, Inode] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"."})
    pending: list[dict[str, Inode | None]] = field(default_factory=list)
    fuse: int = -1
    operations: int = 0

    def _burn(self) -> None:
        if self.fuse == 0:
            raise PowerCut
        self.fuse -= 1
        self.operations += 1

    def read(self, path: str) -> Iterator[bytes]:
        if path not in self.names_now:
            raise FileNotFoundError(path)
        yield self.names_now[path].now

    def write(self, path: str, content: Iterable[bytes]) -> None:
        data = b"".join(content)
        self._burn()
        if path in self.names_now:
            self.names_now[path].written = data
        else:
            self._name({path: Inode(b"", data)})

    def sync(self, path: str) -> None:
        self._burn()
        file = self.names_now[path]
        file.synced, file.written = file.now, None

    def rename(self, path: str, to: str) -> None:
        self._burn()
        self._name({to: self.names_now[path], path: None})

    def remove(self, path: str) -> None:
        if path not in self.names_now:
            raise FileNotFoundError(path)
        self._burn()
        self._name({path: None})

    def make_folder(self, path: str) -> None:
        self.folders.add(path)

    def sync_folder(self, path: str) -> None:
        self._burn()
        for change in [c for c in self.pending if folder_of(next(iter(c))) == path]:
            apply(self.names_synced, change)
            self.pending.remove(change)

    def names(self, path: str) -> list[str]:
        return sorted(name.rpartition("/")[2] for name in self.names_now if folder_of(name) == path)

    def _name(self, change: dict[str, Inode | None]) -> None:
        apply(self.names_now, change)
        self.pending.append(change)

    def survivors(self, mode: str, dice: random.Random) -> SimDisk:
        """The disk after a power cut now."""
        names = dict(self.names_synced)
        for change in self.pending:
            if mode in ("kept", "empty", "torn") or (mode == "some" and dice.random() < 0.5):
                apply(names, change)
        copies = {id(file): Inode(_content(file, mode, dice)) for file in names.values()}
        files = {path: copies[id(file)] for path, file in names.items()}
        return SimDisk(dict(files), dict(files), set(self.folders))


def folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "."


def apply(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for path, file in change.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def _content(file: Inode, mode: str, dice: random.Random) -> bytes:
    if file.written is None or mode == "kept":
        return file.now
    if mode == "empty":
        return b""
    if mode == "torn":
        return file.written[: dice.randrange(len(file.written) + 1)]
    if mode == "some":
        return dice.choice([file.synced, file.written, b"", file.written[: len(file.written) // 2] + b"\xff" * 3])
    return file.synced


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class SimWorld:
    """What the world asks of the device in this story, and what it then sees of it.

    Attributes:
        models: the bytes of every release by SHA-256.
        wishes: what is asked, the next one as soon as the last has been settled.
        bad: models that fail: their test, or their health.
        used: the model in use now.
    """

    models: dict[str, bytes]
    wishes: list[Wish]
    bad: dict[str, str] = field(default_factory=dict)
    used: str | None = None
    at: int = 0

    def wish(self) -> Wish:
        return self.wishes[self.at]

    def fetch(self, model: str, store: Store) -> None:
        data = self.models[model]
        pieces = [data[i : i + 7] for i in range(0, len(data), 7)]
        lacking = {sha256(piece): piece for piece in pieces if store.chunk(sha256(piece)) is None}
        for i in range(0, len(lacking), 2):
            store.add_chunks(dict(list(lacking.items())[i : i + 2]))
        store.assemble(model, [sha256(piece) for piece in pieces])

    def test(self, model: str) -> str:
        return self.bad.get(model, "ok") if self.bad.get(model) != "failed-health" else "ok"

    def use(self, model: str | None) -> None:
        self.used = model

    def health(self) -> str:
        return "failed-health" if self.bad.get(self.used or "") == "failed-health" else "good"

    def report(self, model: str, code: str) -> None:
        pass


MakeStore = Callable[[SimDisk], Store]


def live(disk: SimDisk, world: SimWorld, make_store: MakeStore = Store) -> Store:
    """Start the device and let it follow one wish after the other to the end of the story."""
    store = make_store(disk)
    cycle = Cycle(store, world)
    while True:
        cycle.settle()
        if world.at + 1 == len(world.wishes):
            return store
        world.at += 1
