"""The metadata of a converted model: docs/format.md, section Metadata."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import format as fmt
from .. import golden
from ..errors import UsageError
from ..run.selftest import relative
from .graph import Graph
from .verify import Array, Feed

_FITS = ("stretch", "letterbox", "crop", "top_left")
_MOST = 1e6  # of a mean or std: float32 keeps what is made of pixels
GOLDEN_SEED = 1
GOLDEN_TOLERANCE = 1e-4


def ports(graph: Graph, names: Sequence[str]) -> list[dict[str, Any]]:
    """Name, dtype and shape of each input or output."""
    return [{"name": n, "dtype": graph.values[n].dtype, "shape": [int(d) for d in graph.values[n].shape]} for n in names]


def complete_preprocess(given: dict[str, Any], inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Fill in what follows from the model's input: its name, size and layout.

    Raises:
        UsageError: a value is not one that the format knows, or no input takes pictures.
    """
    image = next((p for p in inputs if given.get("input", p["name"]) == p["name"] and image_layout(p["shape"])), None)
    if image is None:
        raise UsageError(
            "the preprocessing has no input to go to", "no input of the model has the shape of a picture", "leave it out"
        )
    layout = image_layout(image["shape"])
    channels, height, width = image["shape"][1:] if layout == "nchw" else (image["shape"][3], *image["shape"][1:3])
    pixels = given.get("pixels", "gray" if channels == 1 else "rgb")
    full = {"fit": "letterbox", "pad": [114] * channels, "pixels": pixels, "mean": [0.0] * channels, "std": [255.0] * channels}
    full.update(given)
    if (
        full["fit"] not in _FITS
        or full["pixels"] not in ("rgb", "bgr", "gray")
        or (full["pixels"] == "gray") != (channels == 1)
    ):
        why = f"fit {full['fit']!r}, pixels {full['pixels']!r}, {channels} channels"
        raise UsageError(
            "the preprocessing is not one that tody knows", why, f"fit: {', '.join(_FITS)}; pixels: rgb, bgr, gray"
        )
    for key in ("mean", "std", "pad"):
        value = full[key]
        full[key] = [value] * channels if isinstance(value, (int, float)) else list(value)
        if len(full[key]) != channels:
            raise UsageError(
                f"the preprocessing's {key} has {len(full[key])} numbers", f"the input has {channels} channels", "give as many"
            )
    full["mean"], full["std"] = [float(v) for v in full["mean"]], [float(v) for v in full["std"]]
    if not all(full["std"]):
        raise UsageError("the preprocessing's std has a zero", "pixels are divided by it", "give numbers above zero")
    if not all(abs(m) < _MOST and 1 / _MOST < abs(s) < _MOST for m, s in zip(full["mean"], full["std"], strict=True)):
        why = f"mean {full['mean']}, std {full['std']}"
        raise UsageError("the preprocessing's numbers are out of bounds", why, "pixels go from 0 to 255: give them for that")
    if not all(0 <= v <= 255 for v in full["pad"]):
        raise UsageError(
            f"the preprocessing's pad is {full['pad']}", "it is the colour of a pixel", "give numbers from 0 to 255"
        )
    return {**full, "input": image["name"], "width": int(width), "height": int(height), "layout": layout}


def image_layout(shape: Sequence[int]) -> str | None:
    """How a picture lies in an input of this shape: nchw, nhwc, or None if it is no picture."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    if shape[1] in (1, 3) and min(shape[2:]) >= 16:
        return "nchw"
    return "nhwc" if shape[3] in (1, 3) and min(shape[1:3]) >= 16 else None


def golden_facts(
    feeds: list[Feed], outputs: dict[str, Array], native: dict[str, Array], exact: list[bool]
) -> tuple[dict[str, Any], bytes]:
    """The `golden` entry and its blob: samples of what the portable kernels computed.

    Args:
        feeds: the inputs.
        outputs: from the portable kernels.
        native: from this machine's best kernels. Where the two differ by more than usual, other machines may differ as much.
        exact: for each output whether it is the same on every machine.
    """
    entries: list[dict[str, Any]] = []
    blob = b""
    for (name, array), same in zip(outputs.items(), exact, strict=True):
        kept, stride = golden.sample(array)
        dtype = next(n for n, (_, d) in fmt.DTYPES.items() if d == kept.dtype.newbyteorder("<"))
        entry: dict[str, Any] = {"name": name, "at": len(blob), "count": int(kept.size), "stride": stride, "dtype": dtype}
        entries.append({**entry, "tolerance": 0.0 if same else _tolerance(array, native[name])})
        content = kept.astype(fmt.DTYPES[dtype][1]).tobytes()
        blob += content + b"\0" * (-len(content) % 8)
    made = [{"name": f.name, "generator": "splitmix64", "seed": GOLDEN_SEED, "low": f.low, "high": f.high} for f in feeds]
    return {"inputs": made, "outputs": entries}, blob


def _tolerance(array: Array, other: Array) -> float:
    """What other machines may differ by: relative to the largest golden value, and at least a step where int8 was rounded."""
    apart = relative(other.astype(np.float64), array.astype(np.float64)) if array.size else 0.0
    allowed = float(f"{4 * apart:.1g}") if apart <= 0.25 else 1.0  # 1: also where one of them is not a number
    step = (
        1.0 / max(1.0, float(np.abs(array.astype(np.float64)).max(initial=0.0))) if array.dtype in (np.int8, np.uint8) else 0.0
    )
    return max(GOLDEN_TOLERANCE, allowed, float(f"{1.01 * step:.3g}"))


def plain(value: Any) -> Any:
    """The same metadata in plain Python numbers and lists, for JSON."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
