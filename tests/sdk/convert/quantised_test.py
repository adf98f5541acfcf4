"""What onnxruntime's quantiser writes: dynamic, static with QDQ pairs, static with operators on integers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as om
import onnxruntime
from net import Net
from numpy.typing import NDArray
from onnxruntime import quantization

import onnx
import tody
from onnx import TensorProto, helper
from tody.convert import convert, verify
from tody.convert.unsaturated import unsaturated
from tody.errors import UnsupportedError


def network() -> Any:
    """Every operator that the quantiser has a version on integers of."""
    net = Net(seed=1, opset=17)
    x = net.op("Relu", net.conv(net.input(1, 3, 16, 16, name="image"), 3, 8, 3, 2))
    x = net.op("Add", x, net.op("LeakyRelu", net.conv(x, 8, 8, 3, group=8), alpha=0.1))
    mean = net.op("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)  # of nine: half steps are rare
    x = net.op("Concat", net.op("Sigmoid", x), mean, axis=1)
    x = net.op("Mul", x, net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4))
    x = net.dense(net.flat(x), 16, 8)
    return net.model(net.op("Softmax", net.op("MatMul", x, net.floats(8, 5))))


class Pictures:
    """Calibration data."""

    def __init__(self) -> None:
        self.left: Iterator[dict[str, NDArray[Any]]] = iter([{"image": picture(seed)} for seed in range(4)])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self.left, None)


def picture(seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).uniform(-2, 2, (1, 3, 16, 16)).astype(np.float32)


def steps_apart(path: Path) -> float:
    """How far a converted model's probabilities are from the source's, in steps of 1/256."""
    source, model = verify.Reference(onnx.load(path)), tody.load(convert(path, preprocess=None).bytes, threads=1)
    names = [port.name for port in model.outputs]
    pairs = [(source.run({"image": picture(seed)}, names)[0][0], model(picture(seed))) for seed in range(5)]
    return 256 * max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kinds", ["QUInt8 QInt8", "QInt8 QInt8", "QUInt8 QUInt8"])
@pytest.mark.parametrize("style", ["QOperator", "QDQ"])
def test_static(tmp_path: Path, style: str, kinds: str, per_channel: bool) -> None:
    onnx.save(network(), tmp_path / "source.onnx")
    activations, weights = (quantization.QuantType[name] for name in kinds.split())
    quantization.quantize_static(
        tmp_path / "source.onnx", tmp_path / "q.onnx", Pictures(), quant_format=quantization.QuantFormat[style],
        per_channel=per_channel, activation_type=activations, weight_type=weights,
    )  # fmt: skip
    assert steps_apart(tmp_path / "q.onnx") <= (4.01 if kinds == "QUInt8 QUInt8" else 1.01)


def test_weights_beside_uint8_are_uint8_for_the_source(tmp_path: Path) -> None:
    """So that onnxruntime's sums are exact on every CPU; what has no such sums stays as it is."""
    onnx.save(network(), tmp_path / "source.onnx")
    kinds = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
    form = quantization.QuantFormat.QOperator
    quantization.quantize_static(tmp_path / "source.onnx", tmp_path / "q.onnx", Pictures(), quant_format=form, **kinds)
    model = onnx.load(tmp_path / "q.onnx")
    for node in (n for n in unsaturated(model).graph.node if n.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")):
        assert node.input[3].endswith(":uint8") and node.input[5].endswith(":uint8")
    assert unsaturated(network()).SerializeToString() == network().SerializeToString()


@pytest.mark.parametrize("kind", ["QUInt8", "QInt8"])
def test_dynamic(tmp_path: Path, kind: str) -> None:
    onnx.save(network(), tmp_path / "source.onnx")
    quantization.quantize_dynamic(tmp_path / "source.onnx", tmp_path / "q.onnx", weight_type=quantization.QuantType[kind])
    kinds = {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}
    assert {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"} <= kinds
    assert steps_apart(tmp_path / "q.onnx") <= (4.01 if kinds == "QUInt8 QUInt8" else 1.01)


def test_integers_saturate() -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"])]
    nodes += [helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"])]
    weights = {"scale": np.float32(0.5), "zero": np.uint8(128)}
    model = om.model_of(nodes, [om.info("x", (4,))], [om.info("y", None)], weights)
    assert om.run(model, np.array([-1e6, -100, 3.3, 64], np.float32))[0].tolist() == [-64, -64, 3.5, 63.5]


def test_scales_of_rows_are_refused() -> None:
    names = ["a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"]
    one, zero = np.float32(0.1), np.uint8(0)
    weights = dict(zip(names[3:], [np.ones((4, 2), np.uint8), one, zero, one, zero], strict=True))
    weights |= {"a_scale": np.array([0.1, 0.2], np.float32), "a_zero": np.zeros(2, np.uint8)}
    nodes = [helper.make_node("QLinearMatMul", names, ["y"])]
    model = om.model_of(nodes, [om.info("a", (2, 4), TensorProto.UINT8)], [om.info("y", None, TensorProto.UINT8)], weights)
    with pytest.raises(UnsupportedError, match="rows"):
        convert(model)


def one_node(op: str, *inputs: str, output: str, **attrs: Any) -> Any:
    return helper.make_node(op, list(inputs), [output], **attrs)


def assert_equal_integers(model: Any, **feeds: NDArray[Any]) -> Any:
    """Equal to onnxruntime's but for single steps; returns the report."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    report = convert(model, preprocess=None, decoder=None)
    got = tody.load(report.bytes, threads=1)(feeds)
    for mine, expected in zip(got.values() if isinstance(got, dict) else [got], session.run(None, feeds), strict=True):
        assert mine.dtype == expected.dtype
        steps = np.abs(mine.astype(np.float64) - expected)
        assert steps.max() <= 1 and (steps == 0).mean() >= 0.99
    return report


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_borders_of_integers(dtype: Any) -> None:
    """Inputs and outputs of 8 bits, and operators that take the integers as they are."""
    kind, rng = helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), np.random.default_rng(3)
    zero = {np.int8: -5, np.uint8: 130}[dtype]
    numbers = {
        "s": np.float32(0.02),
        "z": dtype(zero),
        "t": np.float32(0.05),
        "w": rng.integers(-127, 128, (8, 3, 3, 3), np.int8),
    }
    numbers |= {"ws": rng.uniform(0.001, 0.01, 8).astype(np.float32), "wz": np.zeros(8, np.int8)}
    nodes = [
        one_node("Transpose", "x", output="moved", perm=[0, 3, 1, 2]),
        one_node("DequantizeLinear", "moved", "s", "z", output="real"),
        one_node("DequantizeLinear", "w", "ws", "wz", output="weights", axis=0),
        one_node("Conv", "real", "weights", output="sums", pads=[1, 1, 1, 1]),
        one_node("QuantizeLinear", "sums", "t", "z", output="whole"),
        one_node("MaxPool", "whole", output="largest", kernel_shape=[2, 2], strides=[2, 2]),
        one_node("Concat", "largest", "largest", output="y", axis=1),
    ]
    model = om.model_of(nodes, [om.info("x", (1, 8, 6, 3), kind)], [om.info("y", None, kind)], numbers)
    limits = np.iinfo(dtype)
    report = assert_equal_integers(model, x=rng.integers(limits.min, limits.max + 1, (1, 8, 6, 3)).astype(dtype))
    assert report.islands == [] and report.ops_after["conv"] == report.ops_after["pool"] == 1


def test_integers_are_numbers_too() -> None:
    """What takes quantised integers without asking what they stand for gets the integers themselves."""
    nodes = [
        one_node("QuantizeLinear", "x", "s", "z", output="q"),
        one_node("Cast", "q", output="number", to=TensorProto.FLOAT),
        one_node("ReduceSum", "number", output="y", keepdims=1),
        one_node("DequantizeLinear", "q", "s", "z", output="real"),
    ]
    numbers = {"s": np.float32(0.1), "z": np.uint8(7)}
    model = om.model_of(nodes, [om.info("x", (2, 9))], [om.info("y", None), om.info("real", None)], numbers)
    x = np.linspace(-2, 20, 18, dtype=np.float32).reshape(2, 9)
    y, real = om.run(model, x)
    assert y.item() == np.clip(np.rint(x / np.float32(0.1)) + 7, 0, 255).sum()
    np.testing.assert_allclose(real, np.clip(x, -0.7, 24.8), atol=0.0501)


def test_weights_that_training_quantises() -> None:
    """A graph that quantises its own float weights, as exporters of quantisation-aware training write it."""
    rng = np.random.default_rng(4)
    numbers: dict[str, Any] = {"s": np.float32(0.02), "z": np.int8(-3), "t": np.float32(0.05), "w": om.WEIGHTS}
    numbers |= {"ws": (np.abs(om.WEIGHTS).max((1, 2, 3)) / 127).astype(np.float32), "wz": np.zeros(4, np.int8)}
    nodes = [
        one_node("QuantizeLinear", "x", "s", "z", output="q"),
        one_node("DequantizeLinear", "q", "s", "z", output="real"),
        one_node("QuantizeLinear", "w", "ws", "wz", output="wq", axis=0),
        one_node("DequantizeLinear", "wq", "ws", "wz", output="weights", axis=0),
        one_node("Conv", "real", "weights", output="sums"),
        one_node("Relu", "sums", output="positive"),
        one_node("QuantizeLinear", "positive", "t", "z", output="y"),
    ]
    model = om.model_of(nodes, [om.info("x", (1, 3, 8, 8))], [om.info("y", None, TensorProto.INT8)], numbers)
    report = assert_equal_integers(model, x=rng.uniform(-2, 2, (1, 3, 8, 8)).astype(np.float32))
    assert report.islands == []


def test_averages_that_end_halfway_are_even() -> None:
    """By real arithmetic; onnxruntime's float32 sums leave some of them a little above or below, its fused operator more."""
    scale, zero, rng = np.float32(0.0173), 101, np.random.default_rng(4)
    weights = {"scale": scale, "zero": np.uint8(zero)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["a"]),
        helper.make_node("AveragePool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["b", "scale", "zero"], ["y"]),
    ]
    shapes = [om.info("x", (1, 8, 12, 12), TensorProto.UINT8)], [om.info("y", (1, 8, 6, 6), TensorProto.UINT8)]
    x = rng.integers(0, 256, (1, 8, 12, 12), np.uint8)
    sums = (x.astype(np.int64) - zero).reshape(1, 8, 6, 2, 6, 2).sum((3, 5))
    assert (sums % 4 == 2).sum() > 50
    model = om.model_of(nodes, *shapes, weights)
    np.testing.assert_array_equal(tody.load(convert(model).bytes, threads=1)(x), np.rint(sums / 4) + zero)


@pytest.mark.parametrize("slope", [0.1, 1.5, -0.3, None])
@pytest.mark.parametrize("twice", [False, True])
def test_a_leaky_relu_rounds_where_the_model_does(twice: bool, slope: float | None) -> None:
    """Between the casts of a layer it belongs to the layer, as a PReLU does (None); behind a cast of its own it is a table."""
    rng = np.random.default_rng(5)
    scales = {"x": 0.05, "w": 0.02, "inner": 0.031, "y": 0.017}
    weights = {f"{name}_scale": np.float32(scale) for name, scale in scales.items()}
    weights |= {f"{name}_zero": np.int8(zero) for name, zero in (("x", 3), ("w", 0), ("inner", 7), ("y", -50))}
    weights["w"] = rng.integers(-127, 128, (20, 12, 3, 3), np.int8)
    nodes = [one_node("DequantizeLinear", n, f"{n}_scale", f"{n}_zero", output=f"{n}_real") for n in ("x", "w")]
    nodes.append(one_node("Conv", "x_real", "w_real", output="sum", kernel_shape=[3, 3], pads=[1] * 4))
    if twice:
        nodes.append(one_node("QuantizeLinear", "sum", "inner_scale", "inner_zero", output="inner"))
        nodes.append(one_node("DequantizeLinear", "inner", "inner_scale", "inner_zero", output="again"))
    weights["slopes"] = np.linspace(-0.5, 1.5, 20, dtype=np.float32).reshape(20, 1, 1)
    leaky = ("LeakyRelu", "again" if twice else "sum") if slope else ("PRelu", "again" if twice else "sum", "slopes")
    nodes.append(one_node(*leaky, output="made", **({"alpha": slope} if slope else {})))
    nodes.append(one_node("QuantizeLinear", "made", "y_scale", "y_zero", output="y"))
    shapes = [om.info("x", (1, 12, 9, 9), TensorProto.INT8)], [om.info("y", None, TensorProto.INT8)]
    x = rng.integers(-20, 21, (1, 12, 9, 9)).astype(np.int8)
    report = assert_equal_integers(om.model_of(nodes, *shapes, weights), x=x)
    file = tody.format.read(report.bytes)
    layer = next(record for record in file.records if record.op == "conv")
    assert [file.tensors[i].shape for i in layer.inputs[4:] if i is not None] == [(1 if twice else 2, 20)]
    assert file.tensors[layer.outputs[0] or 0].dtype == "int8"
    more = set() if not twice else {"lut"} if slope else {"binary", "cast"}  # nothing says here that channels come last
    assert {record.op for record in file.records} == {"copy", "conv", *more}
