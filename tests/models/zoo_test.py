"""Whole models: they convert, agree with their source, leave copies at their borders only, and come out the same every time.

Real models join in where TODY_MODELS names a folder of `.onnx` files.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from zoo import ZOO

import tody
from tody.convert import convert

SHAPES = {"centerface": {"input.1": (1, 3, 480, 640)}}  # what a file leaves open
FOLDER = os.environ.get("TODY_MODELS")
REAL = sorted(p for p in Path(FOLDER).glob("*.onnx") if not p.stem.endswith("_qdq")) if FOLDER else []


# Operators that passes are there to remove, and how many are left for a reason. A pad makes the margin of a small image.
LEFT = {
    "centerface": "copy 4, binary 1",  # the borders; an addend behind an activation
    "efficientnet_lite0": "copy 1",
    "ic_resnet8": "copy 1, pad 1",
    "kws_dscnn": "pad 1",  # one channel: its layout is both
    "lstm": "copy 1",  # the last step
    "mobilenet_v1": "copy 1",
    "mobilenet_v2": "copy 1",
    "mobilenet_v3_large": "copy 1, binary 2",  # squeeze and excitation
    "mobilenet_v3_small": "copy 1, binary 2",
    "resnet18": "copy 1",
    "resnet50": "copy 1",
    "shufflenet": "copy 4",  # the input; two halves of the first shuffle; the second shuffle
    "squeezenet_1_1": "copy 1",
    "ssdlite_mbv2_300": "copy 1",
    "style_256": "copy 2, pad 5, binary 1",  # reflected borders; an addend behind a norm
    "vit_tiny": "copy 10, binary 1",  # four for each attention, the first token; positions
    "vww_mbv1_025": "copy 1",
    "yolov8n_320": "copy 6, pad 2, binary 8, unary 2",  # addends behind activations, the decoding of boxes
}


@pytest.mark.parametrize("name", ZOO)
def test_model_agrees_with_its_source(name: str) -> None:
    report = convert(ZOO[name](), tolerance=1e-5)
    assert report.against and report.max_error is not None and report.max_error <= 1e-5
    counts = [(op, report.ops_after.get(op, 0)) for op in ("copy", "pad", "binary", "unary")]
    assert ", ".join(f"{op} {n}" for op, n in counts if n) == LEFT[name]
    model = tody.load(report.bytes, threads=1, verify=True)
    assert model.self_test() <= 1e-4


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_real_model_agrees_with_its_source(path: Path) -> None:
    report = convert(path, shapes=SHAPES.get(path.stem))
    assert report.max_error is not None and report.max_error <= 1e-4
    assert tody.load(report.bytes, threads=1).self_test() <= 1e-4


_HASH = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from zoo import ZOO
from tody.convert import convert
print(hashlib.sha256(convert(ZOO[sys.argv[2]]()).bytes).hexdigest())
"""


@pytest.mark.parametrize("name", ["yolov8n_320", "vit_tiny"])
def test_equal_conversions_give_equal_bytes_in_other_processes(name: str) -> None:
    mine = hashlib.sha256(convert(ZOO[name]()).bytes).hexdigest()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", _HASH, str(Path(__file__).parent), name]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        assert done.stdout.strip() == mine
