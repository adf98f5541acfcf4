"""Real models in int8, calibrated on COCO's train pictures and measured on others: bounds of accuracy and size.

Runs where TODY_MODELS and TODY_DATA name folders with the models and pictures (CONTRIBUTING.md); takes minutes.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("onnx")

import tody
from tody import format
from tody.compress import compress

MODELS, DATA = (Path(os.environ.get(name, "")) for name in ("TODY_MODELS", "TODY_DATA"))
pytestmark = pytest.mark.skipif(
    not (os.environ.get("TODY_MODELS") and os.environ.get("TODY_DATA")), reason="TODY_MODELS and TODY_DATA name no folders"
)


def test_a_detector_keeps_its_precision() -> None:
    pytest.importorskip("pycocotools")
    report = compress(MODELS / "nanodet_g_coco80_416.onnx", DATA / "coco")
    assert report.accuracy.metric == "map" and report.accuracy.after >= 0.282
    assert report.after.file_bytes <= 0.26 * report.before.file_bytes
    model = tody.load(report.content)
    records = [r for r in model.file.records if r.op in ("conv", "dwconv")]
    assert records and all(model.file.tensors[r.outputs[0] or 0].dtype == "int8" for r in records)


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
