"""Make a release of a model file: test it, cut it into chunks, and take the differences to what devices may have."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...format import read, read_header
from ...run.model import load
from ..chunks import chunk, cut, pieces
from ..delta import make_delta
from ..documents import Delta, Desired, Release, encode, parse_release
from .archive import Archive
from .steer import named

KEPT = 5  # releases of a group, and those that the desired state names
BASES = 3  # newest releases that deltas start from
MOST_NAME = 200
Stage = Callable[[str, int, int], None]  # what is going on, how much of it is done, of how much


@dataclass(frozen=True)
class Limits:
    """What a release asks of devices.

    Attributes:
        latency_ms, memory_bytes: that a run may take on the device itself; None: not limited.
        security: devices that trusted a release of this level refuse lower ones; None: that of the newest release.
    """

    latency_ms: float | None = None
    memory_bytes: int | None = None
    security: int | None = None


def proved(path: Path) -> bytes:
    """The content of a model file that opens and passes its own self-test here.

    Raises:
        UsageError: it has no golden outputs, so no device could test it.
        AccuracyError, ModelError: it fails, or is damaged.
    """
    content = path.read_bytes()
    model = load(content, verify=True)
    if not model.meta.get("golden"):
        why = "it has no golden outputs, and no device uses a model that it cannot test"
        raise UsageError(f"{path.name} cannot be tested", why, "convert it again: tody convert puts them in")
    model.self_test()
    return content


def make_release(
    archive: Archive, group: str, name: str, content: bytes, limits: Limits, stage: Stage = lambda what, done, total: None
) -> Release:
    """The next release of a group; its chunks and deltas are put into the archive.

    Args:
        name: if the file has none of its own.

    Raises:
        UsageError: the security is below that of an earlier release.
    """
    header, file, earlier = read_header(content), read(content), archive.releases(group)
    for piece in cut(content):
        archive.add_blob(piece)
    sha256 = chunk(content).sha256
    bases = [base for base in reversed(earlier) if base.model != sha256][:BASES]
    title = "".join(c for c in str(file.meta.get("name") or name) if c.isprintable())[:MOST_NAME] or sha256[:12]
    release = Release(
        model=sha256,
        bytes=len(content),
        name=title,
        version=1 + max((base.version for base in earlier), default=0),
        security=_security(limits, earlier),
        chunks=tuple(map(chunk, cut(content))),
        deltas=dict(_deltas(archive, bases, content, stage)),
        format=f"{header.major}.{header.minor}",
        ops=tuple(sorted({record.op for record in file.records})),
        arena_bytes=file.arena_bytes,
        latency_ms=limits.latency_ms,
        memory_bytes=limits.memory_bytes,
    )
    parse_release(encode(release))  # what a device would refuse, it must never get
    return release


def _deltas(archive: Archive, bases: Sequence[Release], content: bytes, stage: Stage) -> Iterator[tuple[str, Delta]]:
    """By the model they start from; only where fewer bytes are sent than by the chunks that such a device lacks."""
    for i, base in enumerate(bases):
        stage("comparing with earlier releases", i, len(bases))
        have = {part.sha256 for part in base.chunks}
        lacking = sum(part.bytes for part in map(chunk, cut(content)) if part.sha256 not in have)
        delta = make_delta(archive.model(base), content)
        if len(delta) < lacking:
            parts = list(pieces(delta))
            for part in parts:
                archive.add_blob(part)
            yield base.model, Delta(tuple(map(chunk, parts)), len(delta))
    stage("comparing with earlier releases", len(bases), len(bases))


def _security(limits: Limits, earlier: Sequence[Release]) -> int:
    newest = earlier[-1].security if earlier else 0
    if limits.security is not None and limits.security < newest:
        why = f"release {earlier[-1].version} has {newest}, and devices that trusted it refuse lower ones"
        raise UsageError(f"the security level cannot fall to {limits.security}", why, f"--security {newest}, or more")
    return newest if limits.security is None else limits.security


def to_send(release: Release, base: Release | None = None) -> int:
    """The bytes that a device fetches which has the base, or nothing."""
    if base is None:
        return release.bytes
    if base.model in release.deltas:
        return release.deltas[base.model].bytes
    have = {part.sha256 for part in base.chunks}
    return sum(part.bytes for part in release.chunks if part.sha256 not in have)


def outdated(archive: Archive, desired: Desired, coming: Release) -> list[str]:
    """The models of a group whose releases are not worth keeping once this one is there."""
    releases = [release for release in archive.releases(desired.group) if release.model != coming.model]
    kept = {release.model for release in releases[-(KEPT - 1) :]} | named(desired)
    whole = {release.model for release in releases}
    signed = {path.rpartition("/")[2].removesuffix(".json") for path in archive.targets(desired.group) if "release/" in path}
    return [model for model in sorted(signed - {coming.model}) if model not in kept or model not in whole]
