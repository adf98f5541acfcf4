"""The binding of runtime/vision: preprocessing, decoders, non-maximum suppression.

Boxes are NumPy arrays of the structured dtype `tody.run.detections.BOX`, points are float32 [n, p, 2].
"""

# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

_Placement = tuple[float, float, float, float]
"""scale_x, scale_y, offset_x, offset_y: x_in_model = x_in_frame * scale_x + offset_x."""

class Preprocess:
    """From frames to one model's input tensor. Keeps no state: threads may share it.

    Args:
        width, height: of the model's input in pixels, at most 8192.
        fit: "stretch", "letterbox", "crop" or "top_left".
        pixels: channel order the model wants, "bgr", "rgb" or "gray".
        pad, mean, scale: three numbers each; value = (pixel - mean) * scale.
        planar: True for NCHW, False for NHWC.
        dtype: "float32", "uint8" (rounded, clamped) or "int8" (value / quant_scale + zero_point, rounded, clamped).

    Raises:
        ModelError: a value is out of range.
    """

    channels: int
    dtype: str
    def __init__(
        self,
        *,
        width: int,
        height: int,
        fit: str,
        pixels: str,
        pad: Sequence[int],
        mean: Sequence[float],
        scale: Sequence[float],
        planar: bool,
        dtype: str = "float32",
        quant_scale: float = 1.0,
        zero_point: int = 0,
    ) -> None: ...
    def run(self, frame: NDArray[Any], pixels: str, out: NDArray[Any]) -> _Placement:
        """Write a frame (uint8 [h, w] or [h, w, 3 or 4], contiguous rows, channels as `pixels` says) into `out`.

        Raises:
            UsageError: the frame or `out` does not fit.
        """

class Decoder:
    """A decoder of runtime/vision/decoders.c with its parameters (same names).

    flags: sigmoid, softmax, background, normalized, corner.

    Raises:
        ModelError: no such decoder, or a parameter out of range.
    """

    name: str
    points: int
    needs_nms: bool  # False: the model gives each object once
    weighted: bool  # of its boxes the weighted mean is wanted
    def __init__(
        self,
        name: str,
        *,
        width: int,
        height: int,
        classes: int,
        points: int = 0,
        strides: Sequence[int] = (),
        bins: int = 0,
        anchors: NDArray[Any] | None = None,
        variance: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        flags: Iterable[str] = (),
    ) -> None: ...
    def run(
        self,
        outputs: Sequence[NDArray[Any]],
        score: float,
        boxes: NDArray[Any],
        points: NDArray[Any] | None = None,
        multilabel: bool = False,
    ) -> int:
        """Fill `boxes` and `points` with what reaches `score`, in pixels of the model's input.

        The most sure are kept where there is no room for all. Returns how many.

        Raises:
            ModelError: the outputs' shapes do not fit the parameters.
        """

WEIGHTED_FLOOR: float  # boxes that are less sure have no weight in weighted means

def nms(
    boxes: NDArray[Any],
    points: NDArray[Any] | None,
    count: int,
    iou: float,
    score: float = 0.0,
    weighted: bool = False,
    agnostic: bool = False,
    limit: int = 100,
) -> int:
    """Sort the first `count` boxes by score and drop those that overlap a better one by more than `iou`.

    It counts the same label only, or any if agnostic. The others move to the front; returns their number, at most `limit`.
    What is less sure than `score` is dropped too. If weighted, a box moves to the weighted mean of those that it makes drop,
    and of itself (runtime/vision/vision.h); then `boxes` should hold what reaches `WEIGHTED_FLOOR`.
    """

def to_frame(
    boxes: NDArray[Any], points: NDArray[Any] | None, count: int, placement: _Placement, size: tuple[int, int]
) -> None:
    """From the model's input to a frame of size (width, height), in place. Boxes are clipped to the frame, points are not."""

def decoders() -> list[str]:
    """Names of the decoders of this build."""
