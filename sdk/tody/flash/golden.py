"""The golden test on a device: the laptop reads the file's metadata, the device makes the inputs and compares the outputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, NamedTuple

from .. import format
from ..errors import AccuracyError, ModelError


class Fill(NamedTuple):
    """Input `i` is made by generator splitmix64."""

    i: int
    seed: int
    low: float
    high: float


class Compare(NamedTuple):
    """Elements 0, stride, .. of output `i` must agree with `n` stored ones from byte `off` of the file on."""

    i: int
    off: int
    n: int
    stride: int
    tolerance: float
    by_distance: bool  # else each must be equal


class Plan(NamedTuple):
    fills: list[Fill]
    compares: list[Compare]


def plan(data: bytes) -> Plan | None:
    """What to ask of a device; None: the file carries no golden outputs.

    Args:
        data: a plain file.

    Raises:
        ModelError: its golden data cannot be read.
    """
    meta, blob = format.read_meta(data)
    facts = meta.get("golden")
    if not facts:
        return None
    header = format.read_header(data)
    blob_at = header.meta_at + header.meta_bytes - len(blob)
    try:
        inputs, outputs = ([str(p["name"]) for p in meta[kind]] for kind in ("inputs", "outputs"))
        if any(e["generator"] != "splitmix64" for e in facts["inputs"]):
            raise ValueError("an unknown generator")
        return Plan([_fill(inputs, e) for e in facts["inputs"]], [_compare(outputs, e, blob_at) for e in facts["outputs"]])
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise ModelError("the golden data cannot be read", f"{type(e).__name__}: {e}", "convert the model again") from e


def _fill(names: list[str], entry: dict[str, Any]) -> Fill:
    return Fill(names.index(entry["name"]), int(entry["seed"]) % 2**64, float(entry["low"]), float(entry["high"]))


def _compare(names: list[str], entry: dict[str, Any], blob_at: int) -> Compare:
    by_distance = entry["dtype"] in ("float32", "int8", "uint8")
    place = (names.index(entry["name"]), blob_at + int(entry["at"]), int(entry["count"]), int(entry["stride"]))
    return Compare(*place, float(entry["tolerance"]), by_distance)


def error(compare: Compare, answer: dict[str, Any], name: str) -> float:
    """The relative error of an output, by what the device measured.

    Raises:
        AccuracyError: it is larger than the file allows.
    """
    bad, largest, peak = int(answer["bad"]), float(answer["diff"]), float(answer["peak"])
    found = largest / max(peak, 1e-38) if compare.by_distance else float(bad > 0)
    if not found <= (compare.tolerance if compare.by_distance else 0.0):
        what = f"{name} fails its self-test on the device"
        why = (
            f"output {compare.i} differs by {found:.2g} in {bad} of {compare.n} values; the file allows {compare.tolerance:.2g}"
        )
        raise AccuracyError(what, why, "the model before runs again; report the board")
    return found
