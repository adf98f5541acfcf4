"""Where a device gets files of a repository: a broker's retained messages, or a folder (a USB stick). Neither is trusted."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from .mqtt import WINDOW, Link
from .topics import Topics

PATH = re.compile(r"(meta|blob)/[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Source(Protocol):
    """Files of a repository by `meta/<file>` and `blob/<sha256>`."""

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        """The files; None for what is not there. Raises OSError when that cannot be known now."""

    def stream(self, paths: Sequence[str]) -> Iterator[dict[str, bytes | None]]:
        """`read`, a few files after the other."""


class BrokerSource:
    """The retained messages of a broker."""

    def __init__(self, link: Link, topics: Topics) -> None:
        self._link, self._topics = link, topics

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        return {path: content for some in self.stream(paths) for path, content in some.items()}

    def stream(self, paths: Sequence[str]) -> Iterator[dict[str, bytes | None]]:
        by_topic = {self._topics.repository(path): path for path in paths}
        for found in self._link.stream(list(by_topic)):
            yield {by_topic[topic]: content for topic, content in found.items()}


class FolderSource:
    """A folder that `publish.export` has written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        return {path: self._file(path) for path in paths}

    def stream(self, paths: Sequence[str]) -> Iterator[dict[str, bytes | None]]:
        for i in range(0, len(paths), WINDOW):
            yield self.read(paths[i : i + WINDOW])

    def _file(self, path: str) -> bytes | None:
        file = self._folder / path
        return file.read_bytes() if PATH.fullmatch(path) and file.is_file() else None


def one(source: Source, path: str, most: int) -> bytes | None:
    """One file, or None if it is not there. A longer one than `most` is handed out all the same: whoever asks for it checks."""
    return source.read([path])[path]
