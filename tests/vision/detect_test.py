"""Detector, Classifier, Detections and evaluation, on models so small that the answer is known; and hostile metadata."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import numpy as np
import pytest

import tody
from tody.errors import ModelError, UsageError
from tody.run.decoder import decoder_of
from tody.run.detections import Detections
from tody.run.preprocess import as_image, preprocess_of

PREPROCESS = {"width": 16, "height": 21, "fit": "stretch", "pixels": "bgr", "mean": 0, "std": 255, "layout": "nhwc"}


def tiny(output_shape, decoder, **facts):
    """A model whose output is its input, 16x21 pixels, in another shape."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    ports = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("in", (1, 21, 16, 3)), ("out", output_shape))
    ]
    shape = helper.make_tensor("shape", onnx.TensorProto.INT64, [len(output_shape)], output_shape)
    nodes = [helper.make_node("Relu", ["in"], ["middle"]), helper.make_node("Reshape", ["middle", "shape"], ["out"])]
    graph = helper.make_graph(nodes, "tiny", ports[:1], ports[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return tody.convert(model, None, decoder=decoder, preprocess=PREPROCESS, **facts).content


@pytest.fixture(scope="module")
def detector():
    """Takes its boxes straight from the pixels: 144 rows of cx, cy, w, h in fractions, and three classes."""
    decoder = {"name": "yolov8", "outputs": ["out"], "classes": 3, "normalized": True}
    return tody.Detector(tiny((1, 144, 7), decoder, labels=["a", "b", "c"]), score=0.5, iou=0.5)


def picture(*rows):
    """The frame that means these boxes (values 0 to 255)."""
    values = np.zeros((144, 7), np.uint8)
    values[: len(rows)] = np.reshape(rows, (-1, 7))
    return values.reshape(21, 16, 3)


def test_a_detector_finds_what_its_frame_says(detector):
    found = detector(picture((51, 102, 51, 102, 0, 255, 0), (53, 102, 51, 102, 0, 204, 0), (204, 204, 51, 51, 153, 0, 0)))
    assert found.names == ["b", "a"] and found.size == (16, 21) and len(found) == 2
    np.testing.assert_allclose(found.boxes[0], [1.6, 4.2, 4.8, 12.6], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [1.0, 0.6], rtol=1e-6)
    assert len(detector(picture())) == 0


def test_thresholds_and_limit(detector):
    frame = picture((51, 102, 51, 102, 0, 255, 0), (204, 204, 51, 51, 153, 0, 0), (53, 102, 51, 102, 0, 204, 0))
    model = detector.model
    assert len(tody.Detector(model, score=0.7, iou=0.5)(frame)) == 1
    assert len(tody.Detector(model, score=0.5, iou=1.0)(frame)) == 3
    assert tody.Detector(model, score=0.5, iou=1.0, limit=1)(frame).names == ["b"]
    assert tody.Detector(model, score=0.5, labels=["x", "y", "z"])(frame).names == ["y", "x"]
    for wrong in (
        {"score": 1.5},
        {"score": math.nan},
        {"iou": -0.1},
        {"limit": 0},
        {"labels": "abc"},
        {"labels": [1]},
        {"threads": 1},
    ):
        with pytest.raises(UsageError):
            tody.Detector(model, **wrong)


def test_frames(detector):
    frame = picture((51, 102, 51, 102, 0, 255, 0))

    class Frame:
        image = frame

    want = detector(frame).boxes
    with_alpha = np.concatenate([frame, np.zeros((21, 16, 1), np.uint8)], 2)
    for same in (Frame(), with_alpha, np.asfortranarray(frame), np.ascontiguousarray(frame[:, ::-1])[:, ::-1]):
        assert np.array_equal(detector(same).boxes, want)
    gray = np.full((21, 16), 128, np.uint8)
    assert np.array_equal(detector(gray).boxes, detector(gray[..., None]).boxes)
    for wrong in ("a.jpg", None, [[1]], frame.astype(np.float32), frame[0, 0], np.zeros((7, 4, 2), np.uint8), frame[:0]):
        with pytest.raises(UsageError):
            detector(wrong)
    with pytest.raises(UsageError, match=r"tody\.Camera"):
        as_image("a.jpg")


def test_what_the_metadata_lacks_is_said():
    plain = tiny((1, 144, 7), None)
    for kind in (tody.Detector, tody.Classifier):
        model = tody.load(plain)
        model.meta.pop("preprocess", None)
        with pytest.raises(UsageError, match="--preprocess"):
            kind(model)
    with pytest.raises(UsageError, match="--decoder"):
        tody.Detector(plain)
    with pytest.raises(UsageError, match="tody classify"):
        tody.Detector(tiny((1, 1008), "classify"))
    with pytest.raises(UsageError, match="tody detect"):
        tody.Classifier(tiny((1, 144, 7), {"name": "yolov8", "outputs": ["out"], "classes": 3}))


def test_classifier():
    classifier = tody.Classifier(tiny((1, 1008), "classify", labels=[f"n{i}" for i in range(1008)]), top=3)
    frame = np.zeros((21, 16, 3), np.uint8)
    frame.reshape(-1)[[5, 70]] = 255, 128
    best = classifier(frame)
    assert [b.name for b in best] == ["n5", "n70", "n0"]
    weights = np.exp(np.where(np.arange(1008) == 5, 1.0, np.where(np.arange(1008) == 70, 128 / 255, 0.0)))
    np.testing.assert_allclose(classifier.scores(frame), weights / weights.sum(), rtol=1e-5)
    classifier.model.meta["decoder"]["softmax"] = False
    assert tody.Classifier(classifier.model).scores(frame)[5] == 1.0
    with pytest.raises(UsageError):
        tody.Classifier(classifier.model, top=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 5},
        {"width": -16},
        {"width": True},
        {"width": 16.0},
        {"width": None},
        {"height": "21"},
        {"height": 10**30},
        {"layout": "nchw"},
        {"layout": ["nhwc"]},
        {"pixels": "yuv"},
        {"pixels": "gray"},
        {"fit": "bend"},
        {"fit": {}},
        {"mean": [1, 2]},
        {"mean": ["1", 2, 3]},
        {"mean": 1e300},
        {"std": 0},
        {"std": [1, 0, 1]},
        {"std": 1e-320},
        {"std": math.nan},
        {"pad": 256},
        {"pad": [1, 2, -1]},
    ],
)
def test_hostile_preprocess(changes):
    preprocess_of(PREPROCESS, (1, 21, 16, 3), "float32")
    with pytest.raises(ModelError):
        preprocess_of({**PREPROCESS, **changes}, (1, 21, 16, 3), "float32")


@pytest.mark.parametrize("meta", [None, [], "x", 7, {}])
def test_hostile_preprocess_of_another_kind(meta):
    with pytest.raises(ModelError):
        preprocess_of(meta, (1, 21, 16, 3), "float32")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "unknown"},
        {"classes": "3"},
        {"classes": -1},
        {"classes": None},
        {"classes": 2**64},
        {"strides": 8},
        {"strides": [[8]]},
        {"strides": [-8]},
        {"strides": [8.5]},
        {"strides": "888"},
        {"bins": 1.5},
        {"points": []},
        {"variance": [1, 2, 3]},
        {"variance": "1234"},
        {"anchors": "x"},
        {"anchors": [[1, 2], [3]]},
        {"anchors": [[1, math.inf]]},
        {"anchors": 5},
        {"anchors": [[[[1, 2]]]]},
        {"sigmoid": "yes"},
        {"softmax": 2},
    ],
)
def test_hostile_decoder(changes):
    with pytest.raises(ModelError):
        decoder_of({"name": "yolov5", "classes": 3, **changes}, (64, 64), 0)


@pytest.mark.parametrize(
    "facts",
    [
        {"decoder": []},
        {"decoder": {"name": 7}},
        {"decoder": {"name": "yolov8", "outputs": ["other"]}},
        {"decoder": {"name": "yolov8", "outputs": "out"}},
        {"decoder": {"name": "yolov8", "outputs": [1]}},
        {"decoder": {"name": "yolov8", "outputs": ["out"], "classes": 4}},
        {"decoder": {"name": "detr", "outputs": ["out", "out"], "classes": 7}},
        {"labels": "abc"},
        {"labels": [1, 2, 3]},
        {"score": "high"},
        {"iou": 7},
        {"iou": True},
        {"preprocess": {**PREPROCESS, "input": "other"}},
        {"preprocess": {**PREPROCESS, "width": "16"}},
        {"preprocess": []},
    ],
)
def test_hostile_metadata(detector, facts):
    model = detector.model.clone()
    model.meta = {**model.meta, **facts}
    with pytest.raises(ModelError):
        tody.Detector(model)


def detections(points=True):
    boxes = [[0, 0, 10, 10], [5, 5, 20, 30], [1, 2, 3, 4]]
    marks = np.arange(12).reshape(3, 2, 2) if points else None
    return Detections(boxes, [0.9, 0.6, 0.3], [1, 0, 1], marks, (40, 30), ("cat", "dog"))


def test_detections_select_rows():
    all_of_them = detections()
    assert [d.name for d in all_of_them] == ["dog", "cat", "dog"]
    assert len(all_of_them[all_of_them.scores > 0.5]) == 2
    assert len(all_of_them[[]]) == 0 and len(all_of_them[[2, 0]]) == 2 and len(all_of_them[1:]) == 2
    assert all_of_them["dog"].scores.tolist() == pytest.approx([0.9, 0.3])
    assert len(all_of_them[["dog", "cat"]]) == 3 and len(all_of_them[1:2]["dog"]) == 0
    with pytest.raises(UsageError, match=r"cow.*\n.*cat, dog"):
        all_of_them[["cow", "dog"]]
    assert all_of_them["cat"].points.tolist() == [[[4, 5], [6, 7]]]
    assert all_of_them[-1].box == (1, 2, 3, 4) and not detections(False)[0:0]
    with pytest.raises(IndexError):
        all_of_them[3]
    assert repr(all_of_them) == "<Detections: 2 dog, 1 cat in 40x30>" and str(all_of_them[:0]) == "nothing"


def test_detections_as_json():
    data = json.loads(detections().to_json())
    assert data["size"] == [40, 30]
    assert data["detections"][1] == {"box": [5, 5, 20, 30], "score": 0.6, "label": 0, "name": "cat", "points": [[4, 5], [6, 7]]}
    assert "points" not in json.loads(detections(False).to_json())["detections"][0]
    assert Detections([], [], [7, 8][:0]).as_dict() == {"size": [0, 0], "detections": []}


def test_draw_is_a_copy():
    pytest.importorskip("cv2")
    for frame in (np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40), np.uint8), np.zeros((30, 40, 4), np.uint8)):
        drawn = detections().draw(frame)
        assert drawn.shape == (30, 40, 3) and drawn.any() and not frame.any()
    far = Detections([[-1e9, 0, 1e9, 20]], [1], [0], [[[1e30, -1e30]]], (40, 30))
    assert far.draw(np.zeros((30, 40, 3), np.uint8)).any()


def test_map_of_known_boxes(detector, tmp_path):
    cv2, _ = pytest.importorskip("cv2"), pytest.importorskip("pycocotools")
    from tody.run.evaluate import evaluate

    for part in ("images/val", "labels/val", "images/train"):
        (tmp_path / part).mkdir(parents=True)
    rows = [(51, 102, 51, 102, 0, 255, 0), (204, 204, 51, 51, 153, 0, 0)]
    for name in ("images/val/1.png", "images/val/2.png", "images/train/3.png"):
        cv2.imwrite(str(tmp_path / name), picture(*rows))
    (tmp_path / "labels/val/1.txt").write_text("1 0.2 0.4 0.2 0.4\n0 0.8 0.8 0.2 0.2\n")
    (tmp_path / "labels/val/2.txt").write_text("1 0.2 0.4 0.2 0.4\n0 0.1 0.1 0.2 0.2\n")
    result = evaluate(detector.model, tmp_path)
    # class 1: all found. Class 0: one of two found, and one false alarm that is as sure: precision 1 up to a recall of a half
    assert result["images"] == 2 and result["boxes"] == 4
    assert result["map50"] == pytest.approx((1 + 51 / 101) / 2, abs=1e-6) == pytest.approx(result["map"], abs=1e-6)
    (tmp_path / "val.txt").write_text("images/val/1.png\n")
    assert evaluate(detector.model, tmp_path / "val.txt")["map"] == pytest.approx(1.0)
    for wrong in ("images/train", "labels", "nowhere"):
        with pytest.raises(UsageError):
            evaluate(detector.model, tmp_path / wrong)
    for text in ("1 0.2 0.4\n", "x 0 0 1 1\n", "0.5 0 0 1 1\n", "1 nan 0 1 1\n"):
        (tmp_path / "labels/val/1.txt").write_text(text)
        with pytest.raises(UsageError):
            evaluate(detector.model, tmp_path)
    with pytest.raises(UsageError):
        evaluate(detector.model, tmp_path, "f1")


def test_top1(tmp_path):
    cv2 = pytest.importorskip("cv2")
    from tody.run.evaluate import evaluate

    for label, brightest in (("n5", 5), ("n7", 7), ("9", 1)):
        (tmp_path / label).mkdir()
        frame = np.zeros((21, 16, 3), np.uint8)
        frame.reshape(-1)[brightest] = 255
        cv2.imwrite(str(tmp_path / label / "a.png"), frame)
    model = tiny((1, 1008), "classify", labels=[f"n{i}" for i in range(1008)])
    assert evaluate(model, tmp_path, "top1") == evaluate(model, tmp_path) == {"top1": 2 / 3, "images": 3}
    (tmp_path / "unknown").mkdir()
    with pytest.raises(UsageError):
        evaluate(model, tmp_path, "top1")
    with pytest.raises(UsageError, match="top1 needs pictures"):
        evaluate(model, tmp_path / "inputs.npz", "top1")
