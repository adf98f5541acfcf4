"""From a frame to a model's input, as the model's metadata says. The work is done by runtime/vision/preprocess.c."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._vision import Preprocess
from ..errors import ModelError, UsageError
from .model import Model

Image = NDArray[np.uint8]
Placement = tuple[float, float, float, float]  # scale x, y, offset x, y: x_in_model = x_in_frame * scale + offset
_PIXELS = {1: "gray", 3: "bgr", 4: "bgra"}  # as OpenCV gives them


def as_image(frame: Any) -> Image:
    """The picture in a frame: uint8 [h, w] (gray), [h, w, 3] (BGR) or [h, w, 4] (BGRA), with contiguous rows.

    Args:
        frame: such an array, or anything with an attribute `image` that is one, such as a Camera's frame.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(frame, (str, os.PathLike)):
        hint = f"for frame in tody.Camera({str(frame)!r}): ...  or  cv2.imread({str(frame)!r})"
        raise UsageError("a frame is a picture, not the name of a file", f"got {str(frame)!r}", hint)
    image: Any = getattr(frame, "image", frame)
    if image is None:
        raise UsageError("a frame is missing", "got None", "cv2.imread returns None for a file that it cannot read")
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"a frame is a NumPy array, not {type(image).__name__}", "its pixels are read in place", "numpy.asarray(frame)"
        )
    if image.dtype != np.uint8:
        hint = "frame.astype('uint8')" if image.dtype.kind in "iu" else "(frame * 255).astype('uint8'), if it goes from 0 to 1"
        raise UsageError(f"a frame holds uint8, not {image.dtype}", "pixels go from 0 to 255", hint)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] in _PIXELS):
        raise UsageError(
            f"a frame has shape [h, w], [h, w, 3] or [h, w, 4], not {list(image.shape)}",
            "gray, BGR or BGRA",
            "give one frame at a time",
        )
    inner = (1,) if image.ndim == 2 else (image.shape[2], 1)
    if image.strides[1:] != inner or image.strides[0] < image.shape[1] * inner[0]:
        return np.ascontiguousarray(image)
    picture: Image = image
    return picture


class Preprocessor:
    """Writes frames into a model's input.

    Args:
        model: one whose metadata has `preprocess` (docs/format.md).

    Raises:
        UsageError: the metadata has none.
        ModelError: what it has does not fit the model.
    """

    def __init__(self, model: Model) -> None:
        meta = model.meta.get("preprocess")
        if meta is None:
            hint = "convert again with --preprocess (and --decoder, for a detector): tody convert --help lists them"
            what = f"{model.name} does not say how pictures become its input"
            raise UsageError(what, "it was converted without preprocessing", hint)
        try:
            name = str(meta.get("input", model.inputs[0].name))
            self._target = model.input(name)
        except (UsageError, AttributeError, IndexError) as e:
            raise ModelError("the model's preprocessing cannot be used", str(e).splitlines()[0]) from e
        quant = next(port.quant for port in model.inputs if port.name == name)
        self._run = preprocess_of(meta, self._target.shape, str(self._target.dtype), quant).run

    def __call__(self, image: Image) -> Placement:
        """Write one picture of `as_image` into the model's input; returns where it went."""
        return self._run(image, pixels_of(image), self._target)


def pixels_of(image: Image) -> str:
    """The order of the channels of a picture of `as_image`."""
    return _PIXELS[1 if image.ndim == 2 else image.shape[2]]


def preprocess_of(meta: Any, shape: tuple[int, ...], dtype: str, quant: tuple[float, int] | None = None) -> Preprocess:
    """The C routine for the `preprocess` of a model's metadata and the input that it fills.

    Args:
        quant: of an int8 input, as `Port.quant`.

    Raises:
        ModelError: a value is missing, of the wrong type, out of range, or at odds with the input's shape.
    """
    if not isinstance(meta, dict):
        raise ModelError("the model's preprocessing cannot be used", "it is not a JSON object")
    pixels, layout = meta.get("pixels", "bgr"), meta.get("layout", "nchw")
    if pixels not in ("bgr", "rgb", "gray") or layout not in ("nchw", "nhwc"):
        raise ModelError("the model's preprocessing cannot be used", f"pixels {pixels!r}, layout {layout!r}")
    channels = 1 if pixels == "gray" else 3
    width, height = _side(meta, "width"), _side(meta, "height")
    wanted = (channels, height, width) if layout == "nchw" else (height, width, channels)
    if tuple(shape)[-3:] != wanted or math.prod(shape) != math.prod(wanted):
        raise ModelError("the model's preprocessing cannot be used", f"it makes {list(wanted)}, the input is {list(shape)}")
    std = _three(meta, "std", channels, 1.0)
    if not all(std):
        raise ModelError("the model's preprocessing cannot be used", "std has a zero")
    return Preprocess(
        width=width,
        height=height,
        fit=str(meta.get("fit", "letterbox")),
        pixels=pixels,
        pad=[int(v) for v in _three(meta, "pad", channels, 0.0)],
        mean=_three(meta, "mean", channels, 0.0),
        scale=[1.0 / v for v in std],
        planar=layout == "nchw",
        dtype=dtype,
        quant_scale=quant[0] if quant else 1.0,
        zero_point=quant[1] if quant else 0,
    )


def _side(meta: dict[str, Any], key: str) -> int:
    value = meta.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError("the model's preprocessing cannot be used", f"{key} is {value!r}")
    return value


def _three(meta: dict[str, Any], key: str, channels: int, default: float) -> list[float]:
    """Three finite numbers: one for each channel and zeros, or the same number for all."""
    value = meta.get(key, default)
    numbers = value if isinstance(value, list) else [value] * channels
    if len(numbers) not in (1, channels, 3) or not all(type(v) in (int, float) and abs(v) < 1e30 for v in numbers):
        raise ModelError("the model's preprocessing cannot be used", f"{key} is {value!r:.80}")
    return [float(v) for v in (list(numbers) * 3)[:3]] if len(numbers) == 1 else [float(v) for v in (*numbers, 1.0, 1.0)[:3]]
