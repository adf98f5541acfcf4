"""Quantised models: they run in int8, as their source says, and to the byte the same with every kernel set of this machine.

Real models join in where TODY_MODELS names a folder of `.onnx` files, those of it that end in _qdq.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from quantised import quantised

import tody
from tody import format as tf
from tody._runtime import kernel_sets
from tody.convert import ConvertReport, convert
from tody.convert.exact import exact_outputs

FOLDER = os.environ.get("TODY_MODELS")
REAL = sorted(Path(FOLDER).glob("*_qdq.onnx")) if FOLDER else []

# What stays float32. Nothing that multiplies does, but where the quantiser left it so.
LEFT = {
    "centerface": {},
    "efficientnet_lite0": {},
    "ic_resnet8": {"softmax": 1},
    "mobilenet_v3_small": {},
    "shufflenet": {},
    "squeezenet_1_1": {},
    "ssdlite_mbv2_300": {"softmax": 1},
    "vww_mbv1_025": {"softmax": 1},
    "yolov8n_320": {"softmax": 1},
}


def islands(report: ConvertReport) -> dict[str, int]:
    """How many operators of each kind compute in float32."""
    kinds = [line.split()[0] for line in report.islands]
    return {kind: kinds.count(kind) for kind in kinds}


def check(report: ConvertReport) -> None:
    """It agrees with its source, proves that it does, and gives the same bytes with every kernel set."""
    assert report.against.startswith("onnxruntime")
    assert all(d.cosine >= 0.999 for d in report.differences)
    models = [tody.load(report.bytes, threads=1, kernels=name) for name in kernel_sets()]
    assert [model.precision for model in models] == ["int8"] * len(models)
    assert max(model.self_test() for model in models) <= 0.02
    results = [[np.array(model.output(i)) for i in range(len(model.outputs))] for model in models]
    for i, exact in enumerate(exact_outputs(tf.read(report.bytes))):
        for got in results[1:] if exact else []:
            np.testing.assert_array_equal(got[i], results[0][i])


@pytest.mark.parametrize("name", LEFT)
def test_qdq_runs_in_integers(name: str) -> None:
    report = convert(quantised(name))
    check(report)
    assert islands(report) == LEFT[name]


@pytest.mark.parametrize("name", ["ic_resnet8", "shufflenet", "squeezenet_1_1"])
def test_operators_on_integers_are_the_same(name: str) -> None:
    check(convert(quantised(name, "QOperator", "QInt8")))


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_real_model_runs_in_integers(path: Path) -> None:
    report = convert(path)
    check(report)
    assert set(islands(report)) <= {"softmax"}
    assert all(d.near is not None and d.near >= 0.99 for d in report.differences)


def test_info_names_what_is_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tody.cli.main import main

    path = convert(quantised("kws_dscnn")).save(tmp_path / "kws.tody")
    assert main(["info", str(path)]) == 0
    assert "precision   int8, but in float32: softmax 1\n" in capsys.readouterr().out
