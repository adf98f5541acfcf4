"""Detectors that end in TFLite_Detection_PostProcess: the decoder finds the boxes that LiteRT's operator finds."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatbuffers")
pytest.importorskip("ai_edge_litert")

from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from make import Tflite
from numpy.typing import NDArray

from tody.convert import convert
from tody.convert.source import read_source
from tody.convert.tflite.flexbuffer import numbers
from tody.errors import ModelError, UnsupportedError
from tody.run.detect import Detector
from tody.run.model import load

Array = NDArray[Any]
SIDE, CLASSES, BACKGROUND = 64, 3, 1
OPTIONS: dict[str, Any] = {
    "max_detections": 40,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.55,
    "num_classes": CLASSES,
    "y_scale": 10.0,
    "x_scale": 8.0,
    "h_scale": 5.0,
    "w_scale": 4.0,
}


def anchors() -> Array:
    """Rows of cy, cx, h, w: two for each of 8 x 8 cells."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:8, :8].reshape(2, -1) / 8 + 1 / 16
    one = np.stack([y, x, np.full(64, 0.15), np.full(64, 0.25)], axis=1)
    return np.stack([one, one + rng.uniform(0, 0.1, one.shape)], axis=1).reshape(-1, 4).astype(np.float32)


def detector(dtype: str = "float32", options: dict[str, Any] = OPTIONS, **more: Any) -> bytes:
    """A convolution to two anchors a cell, sigmoid scores, and the operator."""
    rng = np.random.default_rng(7)
    file, rows = Tflite(), 128
    if dtype == "float32":
        x = file.input("float32", (1, SIDE, SIDE, 3))
    else:
        x = file.input(dtype, (1, SIDE, SIDE, 3), scale=1 / 127, zero=128)

    def head(columns: int, scale: float, zero: int) -> int:
        shape = (2 * columns, 8, 8, 3)
        weights = rng.normal(0, 0.12, shape)
        if dtype == "float32":
            w, b = file.constant(weights.astype(np.float32)), file.constant(rng.normal(0, 1, 2 * columns).astype(np.float32))
            quant: dict[str, Any] = {}
        else:
            w = file.constant(np.clip(np.round(weights / 0.004) + 128, 0, 255).astype(np.uint8), scale=0.004, zero=128)
            b = file.constant(rng.integers(-20_000, 20_000, 2 * columns).astype(np.int32), scale=0.004 / 127)
            quant = {"scale": scale, "zero": zero}
        maps, rows_ = file.tensor(dtype, (1, 8, 8, 2 * columns), **quant), file.tensor(dtype, (1, rows, columns), **quant)
        file.op("CONV_2D", [x, w, b], [maps], padding=1, stride_h=8, stride_w=8, dilation_h=1, dilation_w=1)
        file.op("RESHAPE", [maps, file.constant(np.array([1, rows, columns], np.int32))], [rows_])
        return rows_

    boxes, logits = head(4, 0.05, 120), head(CLASSES + BACKGROUND, 0.07, 128)
    scores = file.tensor(dtype, (1, rows, CLASSES + BACKGROUND), **({} if dtype == "float32" else {"scale": 1 / 256}))
    file.op("LOGISTIC", [logits], [scores])
    if dtype == "float32":
        places = file.constant(anchors())
    else:
        places = file.constant(np.round(anchors() / 0.005).astype(np.uint8), scale=0.005)
    shapes = [(1, 40, 4), (1, 40), (1, 40), (1,)]
    found = [file.tensor("float32", shape) for shape in shapes]
    inputs = more.get("inputs", [boxes, scores, places])
    file.op("TFLite_Detection_PostProcess", inputs, found, custom_options=flexbuffers.Dumps(options))
    return file.content(*found)


def litert(content: bytes, picture: Array) -> tuple[Array, Array, Array]:
    """Boxes (x0, y0, x1, y1 in pixels), classes and scores that the operator finds."""
    judge = Interpreter(model_content=content, num_threads=1)
    judge.allocate_tensors()
    judge.set_tensor(judge.get_input_details()[0]["index"], picture)
    judge.invoke()
    boxes, classes, scores, count = (judge.get_tensor(entry["index"])[0] for entry in judge.get_output_details())
    n = int(count)
    return boxes[:n, [1, 0, 3, 2]] * SIDE, classes[:n].astype(int), scores[:n]


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_same_boxes_as_litert(dtype: str) -> None:
    content = detector(dtype)
    report = convert(content, labels=["cat", "dog", "bird"])
    assert report.decoder == "ssd" and any("TFLite_Detection_PostProcess is left out" in note for note in report.notes)
    assert "ai-edge-litert" in report.against and len(report.differences) == 2
    detect = Detector(load(report.content, threads=1), score=0.3, iou=0.55)
    for seed in range(4):
        picture = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        rgb = picture[None, :, :, ::-1]
        given = rgb.copy() if dtype == "uint8" else ((rgb.astype(np.float32) - 127) / 128)
        boxes, classes, scores = litert(content, given)
        # LiteRT suppresses across classes; what it keeps must be among ours, which are suppressed within a class
        ours = detect(picture)
        assert len(boxes) > 5
        for box, kind, score in zip(np.clip(boxes, 0, SIDE), classes, scores, strict=True):
            gap = np.abs(ours.boxes - box).max(axis=1) + 100 * (ours.labels != kind) + SIDE * np.abs(ours.scores - score)
            assert gap.min() < (0.02 if dtype == "float32" else 0.6), (box, kind, score)


def test_thresholds_of_the_operator() -> None:
    meta = load(convert(detector()).content, threads=1).meta
    assert (meta["score"], meta["iou"]) == (0.3, 0.55)
    assert [port["shape"] for port in meta["outputs"]] == [[1, 128, 4], [1, 128, 4]]
    never = load(convert(detector(options={**OPTIONS, "nms_score_threshold": 1e-8}), score=0.6).content, threads=1).meta
    assert never["score"] == 0.6
    assert "decoder" not in load(convert(detector(), decoder=None).content, threads=1).meta


def test_what_no_decoder_does_is_refused() -> None:
    """Anchors that are computed, and counts of classes that fit nothing."""
    for content in (detector(inputs=[5, 7, 5]), detector(options={**OPTIONS, "num_classes": 9})):
        with pytest.raises(UnsupportedError, match="TFLite_Detection_PostProcess"):
            convert(content)


def test_options_are_read() -> None:
    assert numbers(flexbuffers.Dumps(OPTIONS)) == pytest.approx(OPTIONS)
    wide = {"a": 2**40, "b": -(2**33), "c": 0.1, "d": True, "e": "no number", "f": [1, 2]}
    assert numbers(flexbuffers.Dumps(wide)) == {"a": 2**40, "b": -(2**33), "c": 0.1, "d": True}
    assert numbers(b"") == {}


def test_hostile_options() -> None:
    """Whatever the bytes are: numbers, or an error that says what is wrong."""
    whole, rng = flexbuffers.Dumps(OPTIONS), random.Random(3)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 4, 9, 0x24, 0x27, 255, rng.randrange(256)))
        data = data[: rng.choice((len(data), rng.randrange(len(data) + 1)))]
        try:
            assert all(isinstance(v, (int, float)) for v in numbers(bytes(data)).values())
        except ModelError as e:
            assert e.what and e.hint
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="scale"):
            read_source(detector(options={**OPTIONS, "x_scale": scale}))
