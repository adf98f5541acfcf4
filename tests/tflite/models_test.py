"""Real TFLite models against LiteRT, to the bit where they are quantised.

Runs where TODY_MODELS and TODY_DATA name folders with the models and pictures (CONTRIBUTING.md).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("ai_edge_litert")

import cv2
from ai_edge_litert.interpreter import Interpreter
from judge import Array, primitives

from tody._runtime import Runtime, kernel_sets
from tody.convert import convert
from tody.run.detect import Detector

MODELS, DATA = (Path(os.environ.get(name, "")) for name in ("TODY_MODELS", "TODY_DATA"))
pytestmark = pytest.mark.skipif(
    not (os.environ.get("TODY_MODELS") and os.environ.get("TODY_DATA")), reason="TODY_MODELS and TODY_DATA name no folders"
)
PICTURES = 128
INPUTS = 200


def pictures(size: int) -> list[Array]:
    found = [cv2.imread(str(path)) for path in islice(sorted(DATA.glob("coco/images/*/*.jpg")), PICTURES)]
    resized = [cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in found]
    return [cv2.cvtColor(p, cv2.COLOR_BGR2RGB)[None] for p in resized]


def inputs(name: str) -> list[Array]:
    """Pictures, or numbers from the range of what is quantised first."""
    rng = np.random.default_rng(3)
    if name.startswith("vww"):
        return [p.astype(np.float32) for p in pictures(96)]
    if name.startswith("cifar10"):
        return [(p.astype(np.int16) - 128).astype(np.int8) for p in pictures(32)]
    shape = (1, 50, 10, 1) if name.startswith("kws12") else (1, 5, 128, 1)
    return [rng.uniform(0, 230, shape).astype(np.float32) for _ in range(INPUTS)]


NAMES = ("vww_mobilenetv1_025_96_int8", "cifar10_resnet10_32_int8", "kws12_dscnn_int8", "anomaly_toyadmos_ae_int8")


@pytest.mark.parametrize("name", NAMES)
def test_tiny(name: str) -> None:
    """LiteRT's outputs, nearly all to the bit, and the same ones on every kernel set.

    What differs comes from the cast of the input: LiteRT multiplies by a rounded 1 / scale where we divide.
    """
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"there is no {path.name}")
    report = convert(path)
    assert set(report.ops_after) <= {"conv", "dwconv", "dense", "binary", "pool", "cast", "reshape", "softmax"}
    runtimes = [Runtime(report.content, kernels=kernels) for kernels in kernel_sets()]
    judge = Interpreter(str(path), num_threads=1)
    judge.allocate_tensors()
    differ, total = 0, 0
    for x in inputs(name):
        judge.set_tensor(judge.get_input_details()[0]["index"], x)
        judge.invoke()
        expected = judge.get_tensor(judge.get_output_details()[0]["index"])
        for runtime in runtimes:
            np.asarray(runtime.inputs[0])[...] = x
            runtime.run()
        results = [np.array(runtime.outputs[0]) for runtime in runtimes]
        assert len({result.tobytes() for result in results}) == 1
        assert results[0].argmax() == expected.argmax()
        differ, total = differ + int((results[0] != expected).sum()), total + expected.size
    assert differ <= 0.005 * total


def test_blazeface() -> None:
    """Weights in float16: no cast is left, and the faces are those of the ONNX model."""
    path, twin = MODELS / "blazeface_back_256.tflite", MODELS / "blazeface_back_256.onnx"
    if not (path.exists() and twin.exists()):
        pytest.skip("there is no blazeface_back_256")
    assert "cast" not in primitives(path.read_bytes())
    (one, other) = (convert(p) for p in (path, twin))
    assert one.decoder == other.decoder == "blazeface"
    detectors = [Detector(report.content, threads=1) for report in (one, other)]
    faces = 0
    for picture in sorted(DATA.glob("photos/*"))[:8] + sorted(DATA.glob("coco/images/*/*.jpg"))[:24]:
        frame = cv2.imread(str(picture))
        if frame is None:
            continue
        a, b = (detector(frame) for detector in detectors)
        assert len(a) == len(b)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1.0)
        faces += len(a)
    assert faces
