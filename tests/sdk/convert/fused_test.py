"""Models that onnxruntime optimised and saved: the same as before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as om
import onnxruntime
from net import Net

import onnx
from onnx import helper
from tody.convert import convert
from tody.errors import UnsupportedError

KINDS = "FusedConv FusedGemm FusedMatMul Gelu FastGelu QuickGelu SkipLayerNormalization"


def gelu(net: Net, x: str) -> str:
    y = net.op("Add", net.op("Erf", net.op("Div", x, net.number(math.sqrt(2)))), net.number(1))
    return str(net.op("Mul", net.op("Mul", x, y), net.number(0.5)))


def gelu_tanh(net: Net, x: str) -> str:
    y = net.op("Add", x, net.op("Mul", net.number(0.044715), net.op("Pow", x, net.number(3))))
    y = net.op("Tanh", net.op("Mul", y, net.number(math.sqrt(2 / math.pi))))
    return str(net.op("Mul", net.op("Mul", x, net.number(0.5)), net.op("Add", y, net.number(1))))


def norm(net: Net, x: str) -> str:
    return str(net.op("LayerNormalization", x, net.floats(16, scale=0.1, shift=1), net.floats(16), axis=-1, epsilon=1e-6))


def network() -> Any:
    """A small vision transformer on a small CNN."""
    net = Net(seed=1, opset=17)
    x = net.op("Relu", net.conv(net.input(1, 3, 16, 16, name="image"), 3, 8, 3, 2))
    x = net.op("Relu", net.op("Add", net.conv(net.op("LeakyRelu", net.conv(x, 8, 8, 3), alpha=0.2), 8, 8, 3), x))
    x = net.op("Sigmoid", net.conv(x, 8, 8))
    x = net.op("Clip", net.conv(x, 8, 16), net.number(0), net.number(0.5))
    x = net.op("Tanh", net.conv(net.op("HardSigmoid", net.conv(x, 16, 16), alpha=0.2, beta=0.4), 16, 16))
    x = net.op("Transpose", net.op("Reshape", x, net.constant(np.array([1, 16, 64]))), perm=[0, 2, 1])
    y = norm(net, x)
    query, key = (net.op("MatMul", y, net.floats(16, 16, scale=0.25)) for _ in range(2))
    score = net.op("Div", net.op("MatMul", query, net.op("Transpose", key, perm=[0, 2, 1])), net.number(4))
    y = norm(net, net.op("Add", net.op("MatMul", net.op("Softmax", score), y), x))
    hidden = gelu(net, net.op("Add", net.op("MatMul", y, net.floats(16, 32, scale=0.2)), net.floats(32)))
    y = norm(net, net.op("Add", net.op("MatMul", hidden, net.floats(32, 16, scale=0.2)), y))
    y = gelu_tanh(net, net.op("Add", net.op("MatMul", y, net.floats(16, 16, scale=0.2)), net.floats(16)))
    y = net.op("Mul", y, net.op("Sigmoid", net.op("Mul", y, net.number(1.702))))
    return net.model(net.op("Relu", net.dense(net.op("ReduceMean", y, axes=[1], keepdims=0), 16, 5)))


def test_an_optimised_model(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(network().SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "optimised.onnx")
    assert {node.op_type for node in model.graph.node if node.domain} >= set(KINDS.split())
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    for a, b in zip(om.run(model, x), om.run(network(), x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    report = convert(tmp_path / "optimised.onnx")
    assert report.max_error is not None and report.max_error < 1e-5


@pytest.mark.parametrize(
    ("kind", "inputs", "attrs"),
    [
        ("BiasGelu", 2, {}),
        ("FusedMatMul", 2, {"transA": 1, "alpha": 0.5}),
        ("SkipLayerNormalization", 5, {"epsilon": 1e-5}),
        ("SkipSimplifiedLayerNormalization", 4, {"epsilon": 1e-5}),
    ],
)
def test_against_onnxruntime(kind: str, inputs: int, attrs: dict[str, Any]) -> None:
    random = np.random.default_rng(5)
    shapes = [(1, 4, 4), *[(1, 4, 4) if i == 1 and kind != "BiasGelu" else (4,) for i in range(1, inputs)]]
    arrays = {f"x{i}": random.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)}
    outputs = ["y", "", "", "sum"] if kind.startswith("Skip") else ["y"]
    node = helper.make_node(kind, list(arrays), outputs, domain="com.microsoft", **attrs)
    wanted = [om.info(name, None) for name in outputs if name]
    first = dict(list(arrays.items())[:1])
    rest = {name: array for name, array in arrays.items() if name not in first}
    opset = [helper.make_opsetid("com.microsoft", 1)]
    model = om.model_of([node], [om.info("x0", shapes[0])], wanted, rest, opsets=opset)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for a, b in zip(om.run(model, arrays["x0"]), session.run(None, first), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_is_not_known_is_refused() -> None:
    opset = [helper.make_opsetid("com.microsoft", 1)]
    node = helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Softplus")
    model = om.model_of([node], [om.info("x", (1, 3, 8, 8))], [om.info("y", None)], {"w": om.WEIGHTS}, opsets=opset)
    with pytest.raises(UnsupportedError, match="Softplus"):
        convert(model)
