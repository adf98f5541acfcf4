"""Real detectors on real pictures and clips: our boxes against those that plain NumPy makes of onnxruntime's outputs.

Runs where TODY_MODELS and TODY_DATA name folders with the models and pictures (CONTRIBUTING.md).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import reference
from real import CASES, DATA, MODELS, NEEDED, frames

import tody

pytest.importorskip("cv2")
onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

pytestmark = NEEDED


def with_shapes(source, shapes):
    """The ONNX model with its inputs' shapes replaced, as `tody.convert(shapes=..)` does."""
    model = onnx.load(source)
    for port in model.graph.input:
        for dim, size in zip(port.type.tensor_type.shape.dim, shapes.get(port.name, ()), strict=False):
            dim.dim_value = size
    if shapes:
        del model.graph.value_info[:]
        for port in model.graph.output:
            port.type.tensor_type.ClearField("shape")
    return model.SerializeToString()


def expected(name, outputs, width, height, score):
    """Rows of reference.keep, in the model's input."""
    if name.startswith("nanodet"):
        by_stride = [outputs[k][0] for s in (8, 16, 32) for k in (f"cls_s{s}", f"reg_s{s}")]
        scores, boxes = reference.dfl(
            np.concatenate(by_stride[::2]), np.concatenate(by_stride[1::2]), width, height, (8, 16, 32), 11
        )
        return reference.keep(scores, boxes, score=score)
    if name == "centerface":
        heat, size, offset, marks = (outputs[k][0] for k in ("537", "538", "539", "540"))
        return reference.keep(*reference.centerface(heat[0], size, offset, marks), score=score)
    scores = np.concatenate([outputs["Identity:0"][0], outputs["Identity_1:0"][0]])
    values = np.concatenate([outputs["Identity_2:0"][0], outputs["Identity_3:0"][0]])
    strides = (16, 32, 32, 32) if "back" in name else (8, 16, 16, 16)
    return reference.keep(*reference.blazeface(scores, values, width, height, strides), score=score)


@pytest.mark.parametrize("name", CASES)
def test_boxes_are_those_of_onnxruntime(name):
    shapes, prepare, labels, score, iou = CASES[name]
    source = MODELS / f"{name}.onnx"
    report = tody.convert(source, None, shapes=shapes, preprocess=prepare, labels=labels, score=score, iou=iou, check=False)
    detector = tody.Detector(report.content, threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(with_shapes(source, shapes or {}), options)
    names = [o.name for o in session.get_outputs()]
    meta = detector.model.meta["preprocess"]
    width, height, nhwc = meta["width"], meta["height"], meta["layout"] == "nhwc"
    found = 0
    for where, image in frames():
        pad, swap = np.full(3, prepare["pad"]), prepare["pixels"] == "rgb"
        # 8-bit pixels, as the contract of preprocessing says
        pixels = np.rint(reference.preprocess(image, width, height, prepare["fit"], pad, 0, 1, swap, meta["layout"]))
        axes = (1, 1, 3) if nhwc else (3, 1, 1)
        mean, std = (np.broadcast_to(prepare[k], 3).reshape(axes) for k in ("mean", "std"))
        outputs = dict(
            zip(names, session.run(None, {meta["input"]: ((pixels - mean) / std)[None].astype(np.float32)}), strict=True)
        )
        size, begin = reference.geometry(prepare["fit"], image.shape[1::-1], (width, height))
        scale = np.array(size) / image.shape[1::-1]
        weighted = not name.startswith("nanodet")
        rows = expected(name, outputs, width, height, reference.WEIGHTED_FLOOR if weighted else score)
        want = reference.nms(rows, iou, score=score, weighted=weighted)
        got = detector(image)
        found += compare(where, got, want, scale, begin, image.shape[1::-1], score)
    assert found >= 5


def compare(where, got, want, scale, begin, size, score):
    """How many boxes agree. One whose score is at the threshold may be missing on either side."""
    boxes = np.clip((want[:, :4].reshape(-1, 2, 2) - begin) / scale, 0, size).reshape(-1, 4)
    overlaps = reference.iou(got.boxes.astype(np.float64), boxes)
    overlaps[got.labels[:, None] != want[None, :, 5]] = 0
    for i in range(len(got)):
        if got.scores[i] > score + 0.005:
            assert overlaps[i].max(initial=0) >= 0.99, f"{where}: {got[i]} is not of onnxruntime"
            best = overlaps[i].argmax()
            assert abs(got.scores[i] - want[best, 4]) <= 0.005, where
            if got.points is not None:
                points = (want[best, 7:].reshape(-1, 2) - begin) / scale
                side = max(boxes[best, 2:] - boxes[best, :2])
                assert np.abs(got.points[i] - points).max() <= 0.01 * side, where
    for k in range(len(want)):
        assert want[k, 4] <= score + 0.005 or overlaps[:, k].max(initial=0) >= 0.99, f"{where}: {boxes[k]} was not found"
    return len(got)


def test_nanodet_map():
    pytest.importorskip("pycocotools")
    from tody.run.evaluate import evaluate

    labels = (DATA / "coco" / "names.txt").read_text().split("\n")[:80]
    report = tody.convert(MODELS / "nanodet_g_coco80_416.onnx", None, labels=labels, check=False)
    result = evaluate(report.content, DATA / "coco", iou=0.6)
    assert result["images"] == 128 and result["boxes"] == 898
    assert abs(100 * result["map"] - 28.7) <= 0.2
