"""Stacked arrays, files of them, and iterables as samples, proved to fit a model's inputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .samples import Array, Arrays, Data, Port, Progress, shared_note, split

LABELS = "labels"  # the array of an .npz file that holds the class of each sample


def read_arrays(
    source: str, stacks: dict[str, Any], inputs: Sequence[Port], samples: int, measure: int, report: Progress
) -> Data:
    """Samples to calibrate and to measure with from stacks by input name, and `labels`, which are proved sound."""
    labels = _labels(source, stacks, inputs)
    count = _count(source, stacks, labels)
    for port in inputs:
        _check_stack(port, stacks[port["name"]], source)
    first, second, shared = split(count, samples, measure)
    _check_values(source, stacks, inputs, list(dict.fromkeys([*first, *second])), report)
    made = [Arrays(stacks, rows, inputs, labels) for rows in (first, second)]
    note = shared_note(count) if shared else f"{len(second)} of {count} samples were kept apart to measure with"
    return Data(source, made[0], made[1], shared, [note])


def every_row(path: Path, inputs: Sequence[Port]) -> Arrays:
    """All samples of an `.npy` or `.npz` file, in order, proved to fit."""
    stacks = load(path, inputs)
    labels = _labels(path.name, stacks, inputs)
    rows = range(_count(path.name, stacks, labels))
    for port in inputs:
        _check_stack(port, stacks[port["name"]], path.name)
    _check_values(path.name, stacks, inputs, rows, lambda done, total: None)
    return Arrays(stacks, rows, inputs, labels)


def _labels(source: str, stacks: dict[str, Any], inputs: Sequence[Port]) -> Array | None:
    """The classes, taken out of the stacks; None where there are none."""
    if LABELS in [p["name"] for p in inputs] or LABELS not in stacks:
        return None
    labels = np.asarray(stacks.pop(LABELS))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        why = f"they have shape {list(labels.shape)} and dtype {labels.dtype}"
        raise UsageError(f"the labels of {source} cannot be used", why, "give one whole number a sample")
    return labels


def _count(source: str, stacks: Mapping[str, Any], labels: Array | None) -> int:
    """How many samples there are: as many in every stack."""
    if flat := [name for name, stack in stacks.items() if np.ndim(stack) == 0 and not isinstance(stack, list)]:
        raise UsageError(f"{source} has no samples for {flat[0]}", "the array has no axes", "the first axis counts samples")
    counts = {name: len(stack) for name, stack in stacks.items()}
    if labels is not None:
        counts[LABELS] = len(labels)
    if len(set(counts.values())) != 1:
        why = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise UsageError(f"{source} has stacks of different length", why, "the first axis counts samples, the same for all")
    (count,) = set(counts.values())
    if not count:
        raise UsageError(f"{source} holds no samples", "its arrays have a length of 0", "the first axis counts samples")
    return count


def load(path: Path, inputs: Sequence[Port]) -> dict[str, Any]:
    """The stacks of an .npy (mapped, not read) or .npz file."""
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {only(inputs): content}
        with content:
            return by_name(path.name, {name: content[name] for name in content.files}, inputs)
    except (OSError, ValueError, EOFError, zlib.error) as e:
        if isinstance(e, UsageError):
            raise
        why = "it is not a file of NumPy, or holds objects" if "pickle" in str(e) else str(e).splitlines()[0]
        raise UsageError(f"{path} cannot be read", why, "save arrays of numbers by numpy.savez") from e
    except Exception as e:  # zipfile and NumPy raise classes of their own for damaged files
        raise UsageError(f"{path} cannot be read", f"{type(e).__name__}: {e}", "save arrays by numpy.savez") from e


def only(inputs: Sequence[Port]) -> str:
    if len(inputs) != 1:
        names = ", ".join(p["name"] for p in inputs)
        raise UsageError("one array is not enough for this model", f"it has the inputs {names}", "give an .npz file or a dict")
    return str(inputs[0]["name"])


def by_name(source: str, stacks: Mapping[str, Any], inputs: Sequence[Port]) -> dict[str, Any]:
    """The stack of each input, and the labels. An only stack goes to an only input whatever its name."""
    names = [p["name"] for p in inputs]
    rest = {name: stack for name, stack in stacks.items() if name not in (*names, LABELS)}
    found = {name: stacks[name] for name in (*names, LABELS) if name in stacks}
    if missing := [name for name in names if name not in found]:
        if len(names) == 1 and len(rest) == 1:
            return {**found, names[0]: next(iter(rest.values()))}
        why = f"it has {', '.join(stacks) or 'nothing'}"
        raise UsageError(f"{source} has no array for input {missing[0]}", why, f"name the arrays {', '.join(names)}")
    return found


def collect(source: Iterable[Any], inputs: Sequence[Port], most: int) -> dict[str, Any]:
    """Lists of what an iterable of arrays, dicts or sequences gives, so many items at most."""
    names = [p["name"] for p in inputs]
    stacks: dict[str, list[Any]] = {name: [] for name in names}
    for i, item in enumerate(islice(source, most)):
        if isinstance(item, Mapping):
            if missing := [name for name in names if name not in item]:
                why = f"item {i} has {', '.join(map(str, item)) or 'nothing'}"
                raise UsageError(f"the data has no array for input {missing[0]}", why, f"name the arrays {', '.join(names)}")
            values = [item[name] for name in names]
        elif isinstance(item, (tuple, list)) and len(item) == len(names) and all(np.ndim(v) for v in item):
            values = list(item)
        else:
            only(inputs)
            values = [item]
        for port, value in zip(inputs, values, strict=True):
            stacks[port["name"]].append(as_array(value, f"item {i}"))
            _check_shape(port, stacks[port["name"]][-1].shape, stacks[port["name"]][-1].dtype, f"item {i}")
    return stacks


def as_array(value: Any, what: str) -> Array:
    """A copy of the value as an array of numbers: generators like to hand out the same memory again."""
    try:
        array = np.array(value)
    except (TypeError, ValueError, RuntimeError) as e:
        raise UsageError(f"{what} is not an array", str(e).splitlines()[0], "give NumPy arrays") from e
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{what} holds {array.dtype}", "a model takes numbers", "give NumPy arrays")
    return array


def _check_stack(port: Port, stack: Any, source: str) -> None:
    if isinstance(stack, list):  # of collect, which has looked at each item
        return
    _check_shape(port, stack.shape[1:], stack.dtype, f"each sample of {source}")


def _check_shape(port: Port, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> None:
    """Refuse what does not fit the input. The input's own first axis may be missing where it is 1."""
    wanted, target = tuple(port["shape"]), np.dtype(port["dtype"])
    if shape != wanted and not (wanted[:1] == (1,) and shape == wanted[1:]):
        hint = "the first axis of a stack counts samples; convert with --shape to change the input"
        if sorted(shape) in (sorted(wanted), sorted(wanted[1:])):
            hint = "the axes stand in another order: numpy.transpose them, such as x.transpose(0, 3, 1, 2)"
        raise UsageError(f"{what} has shape {list(shape)}", f"input {port['name']} is {list(wanted)}", hint)
    if not np.can_cast(dtype, target, "same_kind") and not (dtype.kind in "iub" and target.kind in "iub"):
        hint = f"convert it first: x.astype(numpy.{target})"
        raise UsageError(f"{what} has dtype {dtype}", f"input {port['name']} is {target}: that could lose values", hint)


def _check_values(
    source: str, stacks: Mapping[str, Any], inputs: Sequence[Port], rows: Sequence[int], report: Progress
) -> None:
    """Refuse what is not finite, does not fit into an integer input, or is the same everywhere."""
    spans = {p["name"]: [np.inf, -np.inf] for p in inputs}
    for done, row in enumerate(rows):
        for port in inputs:
            array = np.asarray(stacks[port["name"]][row])
            if not array.size:
                continue
            low, high = float(array.min()), float(array.max())
            if not np.isfinite([low, high]).all():
                kind = "NaN" if np.isnan(array).any() else "an infinite value"
                hint = "remove the sample: what is not a number has no place in a range"
                raise UsageError(f"sample {row} of {source} holds {kind}", f"input {port['name']}", hint)
            _check_fits(port, low, high, f"sample {row} of {source}")
            span = spans[port["name"]]
            spans[port["name"]] = [min(span[0], low), max(span[1], high)]
        report(done + 1, len(rows))
    if all(low >= high for low, high in spans.values()):
        why = "every number of every sample is the same"
        raise UsageError(f"{source} says nothing about the model's inputs", why, "give samples of what the model will see")


def _check_fits(port: Port, low: float, high: float, what: str) -> None:
    dtype: np.dtype[Any] = np.dtype(port["dtype"])
    if dtype.kind not in "iu":
        return
    info = np.iinfo(dtype.name)
    if low < info.min or high > info.max:
        why = f"input {port['name']} is {dtype}: {info.min} to {info.max}"
        raise UsageError(f"{what} holds {low:g} to {high:g}", why, "scale the values first")
