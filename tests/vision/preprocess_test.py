"""One routine from frame to tensor: against NumPy, against OpenCV, and on hostile parameters."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import reference

from tody._vision import Preprocess
from tody.errors import ModelError, UsageError

FITS = ["stretch", "letterbox", "crop", "top_left"]


def make(**changes):
    values = {
        "width": 32,
        "height": 24,
        "fit": "stretch",
        "pixels": "bgr",
        "pad": (10, 20, 30),
        "mean": (0.0, 0.0, 0.0),
        "scale": (1.0, 1.0, 1.0),
        "planar": True,
    }
    return Preprocess(**{**values, **changes})


def run(p, frame, pixels="bgr", width=32, height=24, planar=True):
    shape = (p.channels, height, width) if planar else (height, width, p.channels)
    out = np.full(shape, 77, p.dtype)
    return out, p.run(frame, pixels, out)


def frame_of(rng, height, width, channels=3):
    return rng.integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_equals_the_definition(fit, layout):
    rng = np.random.default_rng(5)
    mean, std = np.array([103.5, 116.3, 123.7]), np.array([57.4, 57.1, 58.4])
    for _ in range(40):
        (h, w), (height, width) = rng.integers(1, 90, 2).tolist(), rng.integers(1, 70, 2).tolist()
        frame = frame_of(rng, h, w)
        p = make(width=width, height=height, fit=fit, pixels="rgb", mean=mean, scale=1 / std, planar=layout == "nchw")
        out, at = run(p, frame, width=width, height=height, planar=layout == "nchw")
        want = reference.preprocess(frame, width, height, fit, (10, 20, 30), mean, std, swap=True, layout=layout)
        # 8-bit pixels: half a level for the rounding, a little for 11-bit weights
        assert np.abs(out - want).max() <= 0.75 / std.min()
        size, begin = reference.geometry(fit, (w, h), (width, height))
        np.testing.assert_allclose(at, (size[0] / w, size[1] / h, *begin), rtol=1e-6)


def test_resize_is_that_of_opencv():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(6)
    for _ in range(60):
        (h, w), (height, width) = rng.integers(1, 200, 2).tolist(), rng.integers(1, 200, 2).tolist()
        frame = frame_of(rng, h, w)
        out, _ = run(
            make(width=width, height=height, planar=False, dtype="uint8"), frame, width=width, height=height, planar=False
        )
        want = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
        assert np.abs(out.astype(int) - want).max() <= 1


def test_same_size_is_a_copy():
    frame = frame_of(np.random.default_rng(7), 24, 32)
    for fit in FITS:
        assert np.array_equal(run(make(fit=fit, planar=False, dtype="uint8"), frame, planar=False)[0], frame)


@pytest.mark.parametrize("pixels", ["bgr", "rgb", "gray", "bgra", "rgba"])
def test_channel_orders(pixels):
    rng = np.random.default_rng(8)
    frame = frame_of(rng, 24, 32, {"gray": 1}.get(pixels, len(pixels)))
    rgb = {
        "bgr": frame[..., ::-1],
        "rgb": frame,
        "gray": frame.repeat(3, 2),
        "bgra": frame[..., 2::-1],
        "rgba": frame[..., :3],
    }[pixels]
    given = frame[..., 0].copy() if pixels == "gray" else frame
    for wanted in ("bgr", "rgb"):
        out, _ = run(make(pixels=wanted, planar=False), given, pixels, planar=False)
        assert np.array_equal(out, rgb if wanted == "rgb" else rgb[..., ::-1])
    out, _ = run(make(pixels="gray"), given, pixels)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(out[0] - luma).max() <= 0.51


def test_integer_tensors_round_to_even_and_clamp():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    changes = {"width": 256, "height": 1, "mean": (128.0, 0.0, 0.0), "scale": (1.0, 0.5, 2.0)}
    value = (np.arange(256) - np.array([[128.0], [0.0], [0.0]])) * np.array([[1.0], [0.5], [2.0]])
    out, _ = run(make(**changes, dtype="uint8"), ramp, width=256, height=1)
    assert np.array_equal(out[:, 0], np.clip(np.rint(value), 0, 255).astype(np.uint8))
    out, _ = run(make(**changes, dtype="int8", quant_scale=0.25, zero_point=-3), ramp, width=256, height=1)
    assert np.array_equal(out[:, 0], np.clip(np.rint(value / 0.25 - 3), -128, 127).astype(np.int8))


def test_a_view_into_a_frame_is_read_in_place():
    frame = frame_of(np.random.default_rng(9), 60, 80)
    part = frame[10:40, 20:60]
    assert np.array_equal(run(make(), part)[0], run(make(), part.copy())[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"width": 8193},
        {"height": -1},
        {"height": 2**40},
        {"width": "wide"},
        {"fit": "squeeze"},
        {"pixels": "cmyk"},
        {"pixels": "bgra"},
        {"pad": (1, 2)},
        {"pad": (256, 0, 0)},
        {"mean": (float("nan"), 0, 0)},
        {"scale": (float("inf"), 1, 1)},
        {"scale": None},
        {"dtype": "float64"},
        {"dtype": "int8", "quant_scale": 0.0},
        {"dtype": "int8", "quant_scale": float("nan")},
        {"dtype": "int8", "zero_point": 128},
    ],
)
def test_parameters_out_of_range_are_refused(changes):
    with pytest.raises(ModelError):
        make(**changes)


def test_frames_that_do_not_fit_are_refused():
    p, good = make(), np.zeros((4, 5, 3), np.uint8)
    cases = [
        (good[:, ::-1], "bgr"),
        (good[::-1], "bgr"),
        (good, "gray"),
        (good, "bgra"),
        (good[:0], "bgr"),
        (good[:, :0], "bgr"),
    ]
    for frame, pixels in [
        *cases,
        (np.zeros((2, 3, 4, 3), np.uint8), "bgr"),
        (good.astype(np.int8), "bgr"),
        (good[..., 0], "gray"),
    ]:
        with pytest.raises(UsageError):
            run(p, frame, pixels)
    with pytest.raises(UsageError):
        p.run(good, "bgr", np.zeros((3, 24, 31), np.float32))
    with pytest.raises(UsageError):
        p.run(good, "bgr", np.zeros((3, 24, 32), np.float64))
