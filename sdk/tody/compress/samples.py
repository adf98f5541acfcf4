"""What data is once it has been read: samples, made one at a time."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..camera.pictures import read_picture
from ..run.preprocess import Image, pixels_of, preprocess_of

Array = NDArray[Any]
Sample = dict[str, Array]
Progress = Callable[[int, int], None]
Port = Mapping[str, Any]
T = TypeVar("T")

FEWEST_TO_SPLIT = 6  # below, the same samples calibrate and measure
SEED = 1
MAX_BYTES = 1 << 28  # of decoded pictures that are kept


class Samples(Sequence[Sample]):
    """Inputs of a model, one dict of arrays by input name for each sample, made when they are asked for.

    Attributes:
        names: of each sample, for messages: a path, or `sample 17`.
    """

    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.sample(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.sample(index % len(self))

    def sample(self, index: int) -> Sample:
        """One sample; each array has its input's shape and dtype."""
        raise NotImplementedError


class Pictures(Samples):
    """Pictures that go through a model's own preprocessing.

    Args:
        names: of each picture.
        port: the input that takes pictures.
        preprocess: docs/format.md, key `preprocess`.
    """

    def __init__(self, names: Sequence[str], port: Port, preprocess: Mapping[str, Any]) -> None:
        self.names = list(names)
        self._name, self._shape, self._dtype = port["name"], tuple(port["shape"]), np.dtype(port["dtype"])
        self._run = preprocess_of(dict(preprocess), self._shape, str(port["dtype"])).run

    def image(self, index: int) -> Image:
        """One picture as `tody.run.preprocess.as_image` gives it."""
        raise NotImplementedError

    def sample(self, index: int) -> Sample:
        image, out = self.image(index), np.empty(self._shape, self._dtype)
        self._run(image, pixels_of(image), out)
        return {self._name: out}


class Files(Pictures):
    """Picture files; `root` is the folder below which the first folder of a path may be the name of its class."""

    def __init__(self, paths: Sequence[Path], root: Path, port: Port, preprocess: Mapping[str, Any]) -> None:
        super().__init__([str(path) for path in paths], port, preprocess)
        self.paths, self.root = list(paths), root
        self._kept: dict[int, Image] = {}
        self._room = MAX_BYTES

    def image(self, index: int) -> Image:
        """Decoded once, as long as there is room for it."""
        if index in self._kept:
            return self._kept[index]
        image = read_picture(self.paths[index])
        if image.nbytes <= self._room:
            self._kept[index] = image
            self._room -= image.nbytes
        return image

    def folders(self) -> list[str]:
        """The first folder below the root that each picture is in; empty where it is in the root itself."""
        parts = [path.relative_to(self.root).parts if path.is_relative_to(self.root) else () for path in self.paths]
        return [p[0] if len(p) > 1 else "" for p in parts]


class Frames(Pictures):
    """Frames of a camera, kept in memory. `rows` says which of the images."""

    def __init__(self, images: Sequence[Image], rows: Sequence[int], port: Port, preprocess: Mapping[str, Any]) -> None:
        super().__init__([f"frame {row}" for row in rows], port, preprocess)
        self._images = [images[row] for row in rows]

    def image(self, index: int) -> Image:
        return self._images[index]


class Arrays(Samples):
    """Rows of stacked arrays.

    Args:
        stacks: for each input name an array or a list whose first axis counts samples.
        rows: which of them, in order.
        ports: the model's inputs.
        labels: the class of every row of the stacks, or None.
    """

    def __init__(self, stacks: Mapping[str, Any], rows: Sequence[int], ports: Sequence[Port], labels: Array | None) -> None:
        self._stacks, self._rows = stacks, list(rows)
        self._ports = {p["name"]: (tuple(p["shape"]), np.dtype(p["dtype"])) for p in ports}
        self.names = [f"sample {row}" for row in rows]
        self.labels = None if labels is None else np.asarray(labels, np.int64)[self._rows]

    def sample(self, index: int) -> Sample:
        row = self._rows[index]
        made = {}
        for name, (shape, dtype) in self._ports.items():
            made[name] = np.ascontiguousarray(np.asarray(self._stacks[name][row]).reshape(shape).astype(dtype))
        return made


@dataclass
class Data:
    """Samples to calibrate with and samples to measure with.

    Attributes:
        source: what was read, for the report: a path without its folders, or the kind of object.
        calibration, measuring: disjoint unless `shared`.
        shared: there were too few samples to keep some apart.
        notes: what the user should know: pictures left out, a hold-out that was made.
    """

    source: str
    calibration: Samples
    measuring: Samples
    shared: bool = False
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        kind = "pictures" if isinstance(self.calibration, Pictures) else "arrays"
        counts = {"calibration": len(self.calibration), "measuring": len(self.measuring)}
        return {"source": self.source, "kind": kind, **counts, "shared": self.shared}


def split(count: int, samples: int, measure: int) -> tuple[list[int], list[int], bool]:
    """Indices to calibrate and to measure with, and whether they are the same. Equal arguments give equal indices."""
    everything = list(range(count))
    if count < FEWEST_TO_SPLIT:
        return everything[:samples], everything[:measure], True
    kept = spread(everything, min(measure, count // 3))
    rest = sorted(set(everything) - set(kept))
    return spread(rest, samples), kept, False


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many, one at random from each of as many equal parts: what is sorted by class or time stays in proportion."""
    if len(items) <= most:
        return list(items)
    edges = np.arange(most + 1) * len(items) // most
    return [items[i] for i in np.random.default_rng(SEED).integers(edges[:-1], edges[1:]).tolist()]


def shared_note(count: int) -> str:
    few = "1 sample is" if count == 1 else f"{count} samples are"
    return f"{few} too few to keep some apart: accuracy is measured on what calibrated, which flatters it"
