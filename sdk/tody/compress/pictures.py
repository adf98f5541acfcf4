"""Pictures of a folder or list, and frames of a camera, as samples: which calibrate, which measure, which cannot be used."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..camera.pictures import SUFFIXES, read_picture
from ..errors import CameraError, UsageError
from ..run.preprocess import Image, as_image
from .samples import Data, Files, Frames, Port, Progress, shared_note, split, spread

BAD_SHARE = 0.1  # of the chosen pictures may be unusable; they are left out


def read_pictures(
    path: Path, inputs: Sequence[Port], preprocess: Mapping[str, Any] | None, samples: int, measure: int, report: Progress
) -> Data:
    port = _picture_port(inputs, preprocess)
    assert preprocess is not None
    groups, found, shared = _picture_groups(path, samples, measure)
    chosen = list(dict.fromkeys(p for _, paths in groups for p in paths))
    bad = _unusable(chosen, report)
    made = [Files([p for p in paths if p not in bad], root, port, preprocess) for root, paths in groups]
    if not all(made):
        raise _all_bad(path, bad)
    data = Data(path.name or str(path), made[0], made[1], shared, _bad_notes(bad))
    if shared:
        data.notes.append(shared_note(len(made[0])))
    elif found[1] == 0:
        text = f"{len(made[1])} of {found[0]} pictures were kept apart to measure with; folders train and val would say which"
        data.notes.append(text)
    elif len(groups[1][1]) < found[1]:
        data.notes.append(f"{len(groups[1][1])} of {found[1]} pictures measure")
    return data


def is_frame(item: Any, inputs: Sequence[Port], preprocess: Mapping[str, Any] | None) -> bool:
    """Whether an item of an iterable is a picture for the preprocessing, and not an array for the input as it is."""
    image = getattr(item, "image", item)
    if preprocess is None or len(inputs) != 1 or not isinstance(image, np.ndarray):
        return False
    shape = tuple(inputs[0]["shape"])
    return image.dtype == np.uint8 and image.ndim in (2, 3) and image.shape not in (shape, shape[1:])


def read_frames(
    name: str,
    source: Iterable[Any],
    inputs: Sequence[Port],
    preprocess: Mapping[str, Any],
    samples: int,
    measure: int,
    report: Progress,
) -> Data:
    """Frames as a Camera gives them: so many as are needed, kept in memory."""
    images: list[Image] = []
    for item in islice(source, samples + measure):
        images.append(as_image(item).copy())  # a camera may use its memory again
        report(len(images), samples + measure)
    colourful = [i for i, image in enumerate(images) if not _has_one_colour(image)]
    if not colourful or len({zlib.crc32(image.tobytes()) for image in images}) == 1 < len(images):
        raise UsageError(
            f"all {len(images)} frames are the same or have one colour",
            "no ranges can be seen in them",
            "give frames of what it will see",
        )
    first, second, shared = split(len(colourful), samples, measure)
    groups = [[colourful[i] for i in chosen] for chosen in (first, second)]
    made = [Frames(images, rows, inputs[0], preprocess) for rows in groups]
    apart = f"{len(second)} of {len(images)} frames were kept apart to measure with"
    return Data(name, made[0], made[1], shared, [shared_note(len(first)) if shared else apart])


def _picture_port(inputs: Sequence[Port], preprocess: Mapping[str, Any] | None) -> Port:
    """The input that takes pictures."""
    if preprocess is None:
        hint = "--mean and --std (and --pixels, --fit) say how, as for tody convert; or give arrays: --data inputs.npz"
        raise UsageError("the model does not say how pictures become its input", "its preprocessing is not known", hint)
    if len(inputs) != 1:
        names = ", ".join(p["name"] for p in inputs)
        hint = "give an .npz file with one stack of arrays for each of them"
        raise UsageError("pictures are not enough for this model", f"it has the inputs {names}", hint)
    return inputs[0]


def _picture_groups(path: Path, samples: int, measure: int) -> tuple[list[tuple[Path, list[Path]]], tuple[int, int], bool]:
    """Root and pictures to calibrate with and to measure with; how many there are of each (no second: not apart); shared?"""
    if path.is_file():
        root, listed = path.parent, [path] if path.suffix.lower() in SUFFIXES else _listed(path)
    else:
        root = path / "images" if (path / "images").is_dir() else path
        parts = [_parts(root, word) for word in ("train", "val")]
        if all(parts):
            train, val = (sorted(p for part in some for p in _inside(part)) for some in parts)
            for some, found in zip(parts, (train, val)):
                if not found:
                    raise _no_pictures(some[0])
            roots = [some[0] if len(some) == 1 else root for some in parts]
            return [(roots[0], spread(train, samples)), (roots[1], spread(val, measure))], (len(train), len(val)), False
        listed = _inside(root)
    if not listed:
        raise _no_pictures(path)
    first, second, shared = split(len(listed), samples, measure)
    return [(root, [listed[i] for i in first]), (root, [listed[i] for i in second])], (len(listed), 0), shared


def _parts(root: Path, word: str) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and p.name.startswith(word))


def _inside(folder: Path) -> list[Path]:
    """All pictures below a folder; hidden ones are leftovers of other programs."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _listed(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        hint = "give a folder of pictures, a text file that lists them, or an .npy or .npz file"
        raise UsageError(f"{path} is not a list of pictures", str(e), hint) from e
    if "\0" in "".join(lines):
        raise UsageError(f"{path} is not a list of pictures", "it is not text", "give one path a line")
    return [Path(line) if Path(line).is_absolute() else path.parent / line for line in lines if line]


def _no_pictures(path: Path) -> UsageError:
    arrays = sorted(p.name for p in path.glob("*.np[yz]")) if path.is_dir() else []
    hint = f"name the file: --data {path / arrays[0]}" if arrays else "name a folder of pictures like those the model will see"
    return UsageError(f"there are no pictures in {path}", f"looked for {' '.join(sorted(SUFFIXES))}", hint)


def _unusable(paths: list[Path], report: Progress) -> dict[Path, str]:
    """Why pictures cannot be used: each is decoded once.

    Raises:
        UsageError: there are more of them than `BAD_SHARE` allows, or as many as others.
    """
    bad: dict[Path, str] = {}
    seen: set[int] = set()
    for i, path in enumerate(paths):
        try:
            image = read_picture(path)
            seen.add(zlib.crc32(image.tobytes()))
            if _has_one_colour(image):
                bad[path] = "it has one colour only"
        except CameraError as e:
            bad[path] = e.what.removeprefix(f"{path} ") + (f" ({e.why})" if e.why else "")
        report(i + 1, len(paths))
    if len(bad) > max(1, BAD_SHARE * len(paths)) or 2 * len(bad) >= len(paths):
        raise _too_many_bad(bad, len(paths))
    if len(seen) == 1 and len(paths) - len(bad) > 1:
        raise UsageError(f"all {len(paths)} pictures are the same", str(paths[0]), "give pictures of what the model will see")
    return bad


def _has_one_colour(image: Image) -> bool:
    return bool((image == image[0, 0]).all())


def _bad_list(bad: Mapping[Path, str]) -> str:
    some = "; ".join(f"{path.name}: {why}" for path, why in islice(sorted(bad.items()), 3))
    return some + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")


def _too_many_bad(bad: Mapping[Path, str], count: int) -> UsageError:
    hint = "remove or replace them: ranges and accuracy are only as good as the pictures"
    return UsageError(f"{len(bad)} of {count} pictures cannot be used", _bad_list(bad), hint)


def _all_bad(path: Path, bad: Mapping[Path, str]) -> UsageError:
    what = f"{path} has no usable pictures to calibrate or to measure with"
    return UsageError(what, _bad_list(bad), "replace them by pictures of what the model will see")


def _bad_notes(bad: Mapping[Path, str]) -> list[str]:
    return [f"{len(bad)} picture{'s' * (len(bad) > 1)} left out: {_bad_list(bad)}"] if bad else []
