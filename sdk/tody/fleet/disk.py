"""The file operations that a store is made of, so that a test can put a disk beneath it that loses power."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

PIECE = 1 << 16  # bytes that are read at once


class Disk(Protocol):
    """What a store asks of a file system. Paths are relative to the store's folder, parts joined by `/`.

    `read` gives a file in pieces, so that no model has to fit into memory. Nothing is promised to survive a power cut until
    `sync` (content of a file) and `sync_folder` (names in a folder) have returned.
    Every method raises OSError when it cannot do its work; FileNotFoundError when there is no such file.
    """

    def read(self, path: str) -> Iterator[bytes]: ...
    def write(self, path: str, content: Iterable[bytes]) -> None: ...
    def sync(self, path: str) -> None: ...
    def rename(self, path: str, to: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def make_folder(self, path: str) -> None: ...
    def sync_folder(self, path: str) -> None: ...
    def names(self, path: str) -> list[str]: ...


class FolderDisk:
    """A folder of the real file system. What it makes only its owner may read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, path: str) -> Iterator[bytes]:
        with open(self.root / path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def write(self, path: str, content: Iterable[bytes]) -> None:
        with open(os.open(self.root / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for piece in content:
                file.write(piece)

    def sync(self, path: str) -> None:
        _sync(self.root / path, os.O_RDWR)

    def rename(self, path: str, to: str) -> None:
        os.replace(self.root / path, self.root / to)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def make_folder(self, path: str) -> None:
        (self.root / path).mkdir(exist_ok=True, mode=0o700)

    def sync_folder(self, path: str) -> None:
        _sync(self.root / path, os.O_RDONLY)

    def names(self, path: str) -> list[str]:
        return sorted(os.listdir(self.root / path))


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(disk: Disk, path: str, content: Iterable[bytes]) -> None:
    """Put a file in place so that any crash leaves the old one or the new one, whole."""
    put_all(disk, {path: content})


def put_all(disk: Disk, files: Mapping[str, Iterable[bytes]]) -> None:
    """Put files of one folder in place, each of them as `put` does. That is quicker than one by one."""
    parts: dict[str, str] = {}
    for path, content in files.items():
        folder, _, name = path.rpartition("/")
        parts[path] = f"{folder}/.{name}.part" if folder else f".{name}.part"
        disk.write(parts[path], content)
    for part in parts.values():
        disk.sync(part)
    for path, part in parts.items():
        disk.rename(part, path)
    if parts:
        disk.sync_folder(folder or ".")


def discard(disk: Disk, path: str) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        disk.remove(path)
