"""Read the data of a compression: samples to calibrate with and others to measure with, from whatever holds them.

Everything that can be wrong with data is found here, before any long work: each chosen picture is decoded once and each chosen
array looked at. Afterwards samples are read lazily, one at a time.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .arrays import as_array, by_name, collect, load, only, read_arrays
from .pictures import is_frame, read_frames, read_pictures
from .samples import Data, Port, Progress

SAMPLES = 128  # to calibrate with; more hardly moves a range
MEASURE = 500  # to measure with, at most


def read_data(
    source: str | os.PathLike[str] | Iterable[Any] | Mapping[str, Any],
    inputs: Sequence[Port],
    preprocess: Mapping[str, Any] | None = None,
    *,
    samples: int = SAMPLES,
    measure: int = MEASURE,
    progress: Progress | None = None,
) -> Data:
    """Find samples for a model and prove them sound.

    Args:
        source: a folder of pictures (nested; `train*` and `val*` folders, also below `images`, are used for calibration and for
            measuring), a text file that lists pictures, an `.npy` or `.npz` file of stacked inputs (first axis: samples; in an
            `.npz` by input name, and `labels` with the class of each sample if wanted), the same as arrays, or an iterable of
            arrays, of dicts by input name, or of frames: a Camera.
        inputs: name, shape and dtype of each input, as in the metadata.
        preprocess: docs/format.md, key `preprocess`, complete; needed for pictures.
        samples: how many to calibrate with, at most.
        measure: how many to measure with, at most.
        progress: called with samples looked at and in all.

    Raises:
        UsageError: there is nothing, or what there is does not fit the model or cannot be read.
        MissingExtraError: OpenCV is needed and not installed.
    """
    if samples < 1 or measure < 1:
        raise UsageError(f"{min(samples, measure)} samples are asked for", "at least one is needed", "--samples 128")
    report = progress or (lambda done, total: None)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise UsageError(
                f"there is no {path}",
                "the samples are read from it",
                "name a folder of pictures, or an .npy or .npz file of inputs",
            )
        if path.suffix not in (".npy", ".npz"):
            return read_pictures(path, inputs, preprocess, samples, measure, report)
        return read_arrays(path.name, load(path, inputs), inputs, samples, measure, report)
    if isinstance(source, np.ndarray) and not (len(source) and is_frame(source[0], inputs, preprocess)):
        return read_arrays("array", {only(inputs): source}, inputs, samples, measure, report)
    if isinstance(source, Mapping):
        stacks = {name: as_array(stack, f"data {name!r}") for name, stack in by_name("the data", source, inputs).items()}
        return read_arrays("arrays", stacks, inputs, samples, measure, report)
    if not isinstance(source, Iterable):
        hint = "a folder, an .npy or .npz file, an array, or an iterable of arrays or dicts"
        raise UsageError(f"data cannot be of type {type(source).__name__}", "it holds no samples", hint)
    items = iter(source)
    first = list(islice(items, 1))
    everything, name = chain(first, items), type(source).__name__
    if preprocess is not None and first and is_frame(first[0], inputs, preprocess):
        return read_frames(name, everything, inputs, preprocess, samples, min(measure, samples), report)
    return read_arrays(name, collect(everything, inputs, samples + measure), inputs, samples, measure, report)
