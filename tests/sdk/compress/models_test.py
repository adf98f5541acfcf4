"""Real models compressed, calibrated on COCO's train pictures and measured on others: bounds of accuracy and size.

Runs where TODY_MODELS and TODY_DATA name folders with the models and pictures (CONTRIBUTING.md); takes minutes.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import chain

import pytest
from real import CASES, DATA, MODELS, NEEDED, frames

import tody
from tody import format
from tody.compress import compress
from tody.run.match import SAME, match

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
pytestmark = NEEDED


def test_a_detector_keeps_its_precision() -> None:
    pytest.importorskip("pycocotools")
    report = compress(MODELS / "nanodet_g_coco80_416.onnx", DATA / "coco")
    assert report.accuracy.metric == "map" and report.accuracy.after >= 0.282
    assert report.after.file_bytes <= 0.26 * report.before.file_bytes
    model = tody.load(report.content)
    records = [r for r in model.file.records if r.op in ("conv", "dwconv")]
    assert records and all(model.file.tensors[r.outputs[0] or 0].dtype == "int8" for r in records)


@pytest.mark.parametrize("arithmetic", ["auto", "int16"])
@pytest.mark.parametrize("name", ["blazeface_front_128", "blazeface_back_256", "centerface"])
def test_a_face_detector_finds_the_same_faces(name: str, arithmetic: str) -> None:
    """Int8 moves these boxes, so float32 or int16 takes over, with weights so short that the file is no larger than in int8."""
    shapes, prepare, labels, score, iou = CASES[name]
    source = MODELS / f"{name}.onnx"
    told = {"shapes": shapes, "preprocess": prepare, "labels": labels, "score": score, "iou": iou}
    report = compress(source, DATA / "coco", metric="agreement", arithmetic=arithmetic, **told)
    assert report.arithmetic == arithmetic or arithmetic == "auto"
    assert report.after.file_bytes <= 0.38 * report.before.file_bytes
    before = tody.Detector(tody.convert(source, None, check=False, **told).content)
    after = tody.Detector(report.content)
    coco = ((path.name, cv2.imread(str(path))) for path in sorted((DATA / "coco" / "images").glob("*/*.jpg")))
    faces = 0
    for where, image in chain(frames(bikes=1, carphone=1), coco):
        a, b = before(image), after(image)
        assert len(a) == len(b) == sum(overlap >= SAME for overlap in match(a, b)), where
        faces += len(a)
    assert faces >= 160


def test_a_classifier_keeps_its_classes() -> None:
    report = compress(
        MODELS / "efficientnet_lite0_imagenet_224.onnx",
        DATA / "coco",
        decoder="classify",
        labels=MODELS / "imagenet1000_labels.txt",
        preprocess={"pixels": "rgb", "mean": 127, "std": 128, "fit": "crop"},
        metric="agreement",
    )
    assert report.accuracy.agreement.argmax is not None and report.accuracy.agreement.argmax >= 0.95
    assert len(format.write(format.read(report.content), coded=True)) <= 0.23 * report.before.file_bytes
