"""Put a repository where devices can read it: all is read back before the timestamp, which makes it valid, is exchanged."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ...errors import DeviceError, UsageError
from ..disk import FolderDisk, discard, put
from ..documents import Desired
from ..mqtt import WINDOW, Link
from ..ring import RATE, Ring
from ..source import BrokerSource, FolderSource, Source
from ..topics import Topics
from .archive import TIMESTAMP, Archive

Progress = Callable[[int, int], None]
META_TIMESTAMP = f"meta/{TIMESTAMP}"


class Sink(Source, Protocol):
    """Where the files of a repository go, and where they can be read back."""

    def write(self, files: dict[str, bytes]) -> None: ...
    def remove(self, paths: Sequence[str]) -> None: ...


class BrokerSink(BrokerSource):
    """The retained messages of a broker."""

    def write(self, files: dict[str, bytes]) -> None:
        self._link.publish_all([(self._topics.repository(path), content) for path, content in files.items()])

    def remove(self, paths: Sequence[str]) -> None:
        self._link.publish_all([(self._topics.repository(path), b"") for path in paths])


class FolderSink(FolderSource):
    """A folder, for a USB stick or a web server."""

    def write(self, files: dict[str, bytes]) -> None:
        disk = FolderDisk(self._folder)
        for path, content in files.items():
            disk.make_folder(path.rpartition("/")[0])
            put(disk, path, [content])

    def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            discard(FolderDisk(self._folder), path)


def publish(archive: Archive, sink: Sink, progress: Progress = lambda done, total: None) -> int:
    """Bring a sink up to date; returns the bytes that it lacked.

    Raises:
        DeviceError: the sink did not keep what it was given; devices then still see the old state.
    """
    return upload(archive, sink, progress) + flip(archive, sink)


def upload(archive: Archive, sink: Sink, progress: Progress = lambda done, total: None) -> int:
    """All but the timestamp; returns the bytes that the sink lacked. Devices go on to see the old state.

    Raises:
        DeviceError: the sink did not keep what it was given.
        TrustError: a file of the repository is damaged or gone.
    """
    files = {f"blob/{sha256}": content for sha256, content in archive.blobs()}
    files |= {f"meta/{file}": content for file, content in archive.metadata().items() if file != TIMESTAMP}
    total, done, sent = sum(map(len, files.values())), 0, 0
    paths = list(files)
    for i in range(0, len(paths), WINDOW):
        window = {path: files[path] for path in paths[i : i + WINDOW]}
        sent += _keep(window, sink)
        done += sum(map(len, window.values()))
        progress(done, total)
    return sent


def flip(archive: Archive, sink: Sink) -> int:
    """Exchange the timestamp: from now on devices see what was uploaded. Returns its bytes, or 0 if it was there.

    Raises:
        DeviceError: the sink did not keep it.
    """
    return _keep({META_TIMESTAMP: archive.timestamp}, sink)


def sweep(archive: Archive, sink: Sink) -> int:
    """Remove what nothing names any more from a sink; returns how many files."""
    paths = [f"blob/{sha256}" for sha256 in archive.strays()] + [f"meta/{file}" for file in archive.superseded()]
    there = sink.read(paths)
    left = [path for path in paths if there[path] is not None]
    sink.remove(left)
    return len(left)


def _keep(files: dict[str, bytes], sink: Sink) -> int:
    """Write what is not there, and see that it is."""
    there = sink.read(list(files))
    lacking = {path: content for path, content in files.items() if there[path] != content}
    if lacking:
        sink.write(lacking)
        there = sink.read(list(lacking))
        if lost := [path for path, content in lacking.items() if there[path] != content]:
            why = f"{len(lost)} of {len(lacking)} files were taken and not kept, the first is {lost[0]}"
            raise DeviceError("the broker does not keep what it takes", why, "does it allow messages of 64 kB?")
    return sum(map(len, lacking.values()))


def ring(link: Link, topics: Topics, archive: Archive, group: str, devices: int) -> None:
    """Tell the devices of a group to look, and what they will need for that, if anything is asked of them.

    Args:
        devices: how many there are.

    Raises:
        TrustError: the desired state is damaged or gone.
    """
    if desired := archive.desired(group):
        link.publish(topics.doorbell(group), _bell(archive, group, desired, devices / RATE).encode(), retain=True)


def _bell(archive: Archive, group: str, desired: Desired, spread: float) -> Ring:
    documents, files = archive.targets(group), list(archive.metadata())
    metadata = [f"meta/{file}" for file in files if file.endswith((".snapshot.json", f".g-{group}.json"))]
    paths = [f"desired/{group}.json", f"release/{group}/{desired.model}.json"]
    blobs = [f"blob/{documents[path]}" for path in paths if path in documents]
    roots = [int(file.split(".")[0]) for file in files if file.endswith(".root.json")]
    return Ring(desired.generation, max(roots), tuple(metadata + blobs), round(spread, 3))


def export(archive: Archive, folder: Path, progress: Progress = lambda done, total: None) -> int:
    """Write everything that devices read into a folder; returns the bytes that it lacked.

    Raises:
        UsageError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"{folder} cannot be written", e.strerror or str(e), "name a folder that can be") from e
    return publish(archive, FolderSink(folder), progress)
