"""The golden check: does this machine compute what the laptop computed? docs/format.md, key `golden`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import format, golden
from ..errors import AccuracyError, ModelError, UsageError

if TYPE_CHECKING:
    from .model import Model


FLOAT16_TOLERANCE = 0.5  # of golden values, in float16 arithmetic: more than random weights lose, less than a wrong kernel
_PRODUCTS = ("conv", "dense", "strips")  # what is in float16 then, or may hold such


def self_test(model: Model) -> float:
    """Run the golden inputs; returns the largest error relative to the largest golden value of its output.

    Raises:
        UsageError: the file has no golden outputs.
        AccuracyError: an output differs by more than the file allows, or, in float16 arithmetic, than FLOAT16_TOLERANCE.
        ModelError: the description of the golden data is damaged.
    """
    facts = model.meta.get("golden")
    if not facts:
        raise UsageError(f"{model.name} carries no golden outputs", "it was converted without them", "convert it again")
    try:
        for entry in facts["inputs"]:
            target = model.input(entry["name"])
            if entry["generator"] != "splitmix64":
                raise ValueError(f"unknown generator {entry['generator']!r}")
            dtype = model.runtime.inputs[[p.name for p in model.inputs].index(entry["name"])].dtype
            target[...] = golden.splitmix64(int(entry["seed"]), target.shape, float(entry["low"]), float(entry["high"]), dtype)
        model.run()
        return max((_compare(model, entry) for entry in facts["outputs"]), default=0.0)
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        if isinstance(e, UsageError):
            raise
        raise ModelError("the golden data cannot be read", f"{type(e).__name__}: {e}", "convert the model again") from e


def _compare(model: Model, entry: dict[str, Any]) -> float:
    """The error of one output."""
    dtype = format.DTYPES[entry["dtype"]][1]
    at, count, stride = int(entry["at"]), int(entry["count"]), int(entry["stride"])
    expected = np.frombuffer(model.blob, dtype, count, at)
    got = model.output(entry["name"]).reshape(-1)[::stride][:count]
    if len(got) != count or got.dtype != dtype:
        raise ValueError(f"output {entry['name']!r} does not have {count} golden elements of {entry['dtype']}")
    if dtype.kind != "f" and dtype not in (np.int8, np.uint8):
        error, bound = float(np.any(got != expected)), 0.0
    else:
        error, bound = relative(got.astype(np.float64), expected.astype(np.float64)), float(entry["tolerance"])
    if bound > 0.0 and _has_half(model):
        bound = max(bound, FLOAT16_TOLERANCE)
    if not error <= bound:
        what = f"output {entry['name']!r} of {model.name} differs from its golden values by {error:.2g}"
        raise AccuracyError(what, f"{bound:.2g} is allowed", "this build of tody computes wrongly here: please report it")
    return error


def _has_half(model: Model) -> bool:
    """Whether products of the model are computed in float16."""
    runtime = model.runtime
    made = [runtime.op_output(i).dtype for i, name in enumerate(runtime.op_names) if name in _PRODUCTS]
    return bool(runtime.f16) and "float32" in made


def relative(got: np.ndarray[Any, np.dtype[np.float64]], expected: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Largest difference over the largest golden value. Infinities and NaN must be in the same places."""
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    difference = float(np.max(np.abs(got[finite] - expected[finite])))
    return difference / max(float(np.max(np.abs(expected[finite]))), 1e-38)
