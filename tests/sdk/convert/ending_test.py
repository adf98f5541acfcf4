"""A model that ends earlier than its file says: what the converter cannot do is left out, the rest is compared as ever."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tflite"))

from net import Net

import onnx
import tody
from onnx import TensorProto
from tody.cli.main import main
from tody.convert import check, convert
from tody.convert.source import read_source
from tody.errors import UnsupportedError, UsageError
from tody.run.detect import Detector


def detector(**options: Any) -> onnx.ModelProto:
    """Four boxes in the corners of the picture, in pixels, their scores by its colours; NonMaxSuppression picks among them."""
    net = Net(3)
    x, limit = net.input(1, 3, 32, 32), net.input(1, name="limit", dtype=TensorProto.INT64)
    corners = [[0, 0, 15, 15], [17, 0, 31, 15], [0, 17, 15, 31], [17, 17, 31, 31]]
    mean = net.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    moved = net.op("Reshape", net.dense(mean, 3, 16), net.constant([1, 4, 4]))
    boxes = net.op("Add", moved, net.constant(np.float32([corners])))
    scores = net.op("Sigmoid", net.op("Reshape", net.dense(mean, 3, 8), net.constant([1, 2, 4])))
    picked = net.op("NonMaxSuppression", boxes, scores, limit, **options)
    return net.model(picked, dtypes={picked: TensorProto.INT64})


def test_the_hint_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the refusal tells to type, typed."""
    path, target = tmp_path / "nms.onnx", tmp_path / "nms.tody"
    onnx.save(detector(), path)
    with pytest.raises(UnsupportedError) as caught:
        convert(path)
    boxes, scores = re.findall(r"--end (\S+)", caught.value.hint)
    how = {"name": "ssd", "outputs": [scores, boxes], "normalized": False, "classes": 2}
    words = ["--end", boxes, "--end", scores, "--decoder", json.dumps(how)]
    assert main(["convert", str(path), "-o", str(target), *words]) == 0
    assert "onnxruntime" in capsys.readouterr().out
    found = Detector(target, score=0.01)(np.full((32, 32, 3), 200, np.uint8))
    assert len(found) and found.boxes.shape[1] == 4


def test_inputs_that_only_the_rest_needs_are_left_out() -> None:
    source = read_source(detector())
    ends = [node.output[0] for node in source.model.graph.node if node.op_type in ("Sigmoid", "Add")]
    part = source.ended(ends)
    assert list(source.inputs) == ["x", "limit"] and list(part.inputs) == ["x"] and part.outputs == ends
    assert len(source.outputs) == 1 and "NonMaxSuppression" in source.ops and "NonMaxSuppression" not in part.ops
    report = convert(detector(), end=ends, decoder=None)
    assert [port["name"] for port in report.outputs] == ends and len(report.differences) == 2
    assert check(detector(), end=ends).supported and not check(detector()).supported


def test_an_end_that_is_none() -> None:
    with pytest.raises(UsageError, match="cannot end at 'sigmoid'"):
        convert(detector(), end=["sigmoid"])
    with pytest.raises(UsageError, match="cannot end at 'x'"):
        convert(detector(), end=["x"])


def test_no_end_is_named_where_none_would_do() -> None:
    net = Net()
    x = net.input(2, 3)
    y = net.op("NonZero", x)
    with pytest.raises(UnsupportedError) as caught:
        convert(net.model(y, dtypes={y: TensorProto.INT64}))
    assert "--end " not in caught.value.hint


def test_what_else_the_model_gives_stays() -> None:
    net = Net()
    x = net.input(2, 3)
    good, inner = net.op("Relu", x), net.op("Neg", x)
    lost = net.op("Relu", net.op("Mystery", inner, domain="com.example"))
    model = net.model(good, lost)
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedError) as caught:
        convert(model)
    ends = re.findall(r"--end (\S+)", caught.value.hint)
    assert ends == [inner, good]
    assert len(convert(model, end=ends).differences) == 2


def test_shapes_that_are_told_hold_for_the_part_too() -> None:
    net = Net()
    x = net.input(1, 3, "h", "w")
    inner = net.conv(x, 3, 4, 3)
    model = net.model(net.op("Relu", inner))
    report = convert(model, end=[inner], shapes={"x": (1, 3, 8, 10)})
    assert report.outputs[0]["shape"] == [1, 4, 8, 10] and "onnxruntime" in report.against


def test_tflite() -> None:
    """Quantised tensors inside of the model come out as the numbers for which they stand."""
    pytest.importorskip("flatbuffers")
    from make import Tflite

    file = Tflite()
    x = file.input("int8", (1, 4, 4, 2), scale=0.05)
    inner = file.tensor("int8", (1, 4, 4, 2), scale=1 / 256, zero=-128)
    file.op("LOGISTIC", [x], [inner])
    odd = file.tensor("float32", (1, 4, 4, 2))
    file.op("Mystery", [inner], [odd], custom_options=b"")
    content = file.content(odd)
    with pytest.raises(UnsupportedError) as caught:
        convert(content)
    (end,) = re.findall(r"--end (\S+)", caught.value.hint)
    report = convert(content, end=[end])
    model = tody.load(report.content, threads=1)
    out = model(np.full((1, 4, 4, 2), 40, np.int8))
    assert out.dtype == np.float32 and np.allclose(out, 1 / (1 + np.exp(-2.0)), atol=1 / 256)
    assert read_source(content, [end]).nudged(11).outputs == [end]
    with pytest.raises(UsageError, match="cannot end"):
        convert(content, end=["nowhere"])
