"""Measuring a model, alone and beside onnxruntime."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tody import format
from tody.errors import ModelError, UsageError
from tody.run.bench import bench
from tody.run.peers import PEERS, installed

N = 128


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product of two matrices, as a `.tody` file."""
    file = format.File(arena_bytes=3 * N * N * 4)
    file.tensors = [format.Tensor("float32", (N, N), "arena", i * N * N * 4) for i in range(3)]
    file.records = [format.Record("matmul", [0, 1], [2])]
    file.inputs, file.outputs = [0, 1], [2]
    file.meta = {"name": "product", "inputs": [{"name": "a"}, {"name": "b"}], "outputs": [{"name": "c"}]}
    path = tmp_path / "product.tody"
    path.write_bytes(format.write(file))
    return path


def test_bench_alone(product: Path) -> None:
    result = bench(product, threads=1, seconds=0.1)
    (row,) = result.rows
    assert not row.error and row.runtime == "tody" and row.version
    assert row.min_ms and row.median_ms and row.p95_ms and row.min_ms <= row.median_ms <= row.p95_ms
    assert row.load_ms and row.first_ms and row.runs >= 8 and row.difference == 0
    if sys.platform == "linux":
        assert row.peak_mib is not None and 0 < row.peak_mib < 20
    assert json.loads(json.dumps(result.as_dict()))["rows"][0]["runtime"] == "tody"


@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="onnxruntime is not installed")
def test_bench_beside_a_peer(product: Path) -> None:
    onnx = pytest.importorskip("onnx")
    ports = [onnx.helper.make_tensor_value_info(name, 1, [N, N]) for name in "abc"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", ports[:2], ports[2:])
    source = product.with_suffix(".onnx")
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), source)
    result = bench(product, seconds=0.1, against=["onnxruntime"], source=source, precision="auto")
    theirs = result.rows[1]
    if result.precision == "float32":  # of peers, "auto" is what it came to here
        assert not theirs.error and theirs.median_ms and theirs.load_ms
    else:
        assert "float32 alone" in theirs.error
        _, theirs = bench(product, seconds=0.1, against=["onnxruntime"], source=source).rows
    assert theirs.difference is not None and theirs.difference < 1e-5


def test_a_peer_without_its_file_says_so(product: Path) -> None:
    result = bench(product, seconds=0.05, against=["ncnn"], source=product.with_suffix(".onnx"))
    assert ".ncnn.param" in result.rows[1].error and result.rows[1].median_ms is None
    assert not result.rows[0].error


def test_a_runtime_that_fails_says_so(product: Path) -> None:
    pytest.importorskip("onnxruntime")
    source = product.with_suffix(".onnx")
    source.write_bytes(b"nonsense")
    result = bench(product, seconds=0.05, against=["onnxruntime"], source=source)
    assert result.rows[1].error and not result.rows[0].error


def test_wrong_arguments(product: Path) -> None:
    with pytest.raises(UsageError, match="no runtime is called"):
        bench(product, against=["fast"], source="x.onnx")
    with pytest.raises(UsageError, match="no source model"):
        bench(product, against=["ncnn"])
    with pytest.raises(UsageError, match="above 0"):
        bench(product, seconds=0)
    product.write_bytes(b"nonsense")
    with pytest.raises(ModelError):
        bench(product)


def test_installed_peers_are_known() -> None:
    assert set(installed()) <= set(PEERS) - {"tody"}
