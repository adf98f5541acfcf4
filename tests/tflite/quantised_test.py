"""Quantised TFLite models become integers, which are LiteRT's own or one step beside them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatbuffers")
pytest.importorskip("ai_edge_litert")

from judge import litert, ours, primitives
from make import Array, Tflite

from tody.convert import convert
from tody.convert.source import read_source
from tody.run.model import load

RNG = np.random.default_rng(9)
X = (0.021, -7)  # scale and zero point of most inputs
CONV = {"padding": 0, "stride_h": 2, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}
POOL = {"padding": 0, "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}


def whole(*shape: int, dtype: str = "int8") -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


class Net(Tflite):
    """A file whose tensors are of int8 or uint8."""

    def __init__(self, dtype: str = "int8") -> None:
        super().__init__()
        self.dtype, self.shift = dtype, 0 if dtype == "int8" else 128

    def x(self, *shape: int, scale: float = X[0], zero: int = X[1]) -> int:
        return self.input(self.dtype, shape, scale=scale, zero=zero + self.shift)

    def y(self, *shape: int, scale: float = 0.03, zero: int = 5) -> int:
        """LiteRT's fast kernels, whose rounding is ours, are for tensors that declare their shapes."""
        return self.tensor(self.dtype, shape, scale=scale, zero=zero + self.shift)

    def weights(self, *shape: int, axis: int = 0) -> tuple[int, int]:
        """Weights of one scale per channel, of uint8 one scale and a zero point; and a bias for them."""
        count = shape[axis]
        if self.dtype == "uint8":
            w = self.constant(whole(*shape, dtype="uint8"), scale=0.008, zero=131)
            return w, self.constant(RNG.integers(-3000, 3000, count).astype(np.int32), scale=X[0] * 0.008)
        scales = RNG.uniform(0.002, 0.01, count).astype(np.float32)
        w = self.constant(RNG.integers(-127, 128, shape).astype(np.int8), scale=scales, zero=[0] * count, axis=axis)
        bias = RNG.integers(-3000, 3000, count).astype(np.int32)
        return w, self.constant(bias, scale=scales * np.float32(X[0]), zero=[0] * count)


def compare(file: Tflite, outputs: list[int], most: int = 0, share: float = 0.0) -> bytes:
    """The file's bytes, after its outputs on three inputs were compared.

    Args:
        most: steps that an output may be off.
        share: of the elements that may be off.
    """
    content = file.content(*outputs)
    shapes = [(file.tensors[i]["shape"], read_source(content).model.tensors[i].dtype) for i in file.inputs]
    for _ in range(3):
        arrays = [whole(*shape, dtype=dtype) for shape, dtype in shapes]
        for got, expected in zip(ours(content, arrays), litert(content, arrays), strict=True):
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
            off = np.abs(got.astype(int) - expected.astype(int))
            assert off.max() <= most and (off > 0).mean() <= share, (off.max(), (off > 0).mean())
    return content


@pytest.mark.parametrize("activation", (0, 1, 3))
def test_conv(activation: int) -> None:
    file = Net()
    w, bias = file.weights(5, 3, 3, 4)
    y = file.y(1, 5, 8, 5)
    file.op("CONV_2D", [file.x(1, 9, 8, 4), w, bias], [y], **CONV, activation=activation)
    assert set(primitives(compare(file, [y]))) <= {"conv", "reshape"}


@pytest.mark.parametrize("multiplier", (1, 2))
def test_depthwise(multiplier: int) -> None:
    file = Net()
    w, bias = file.weights(1, 3, 3, 6 * multiplier, axis=3)
    y = file.y(1, 5, 4, 6 * multiplier)
    options = {**CONV, "stride_w": 2, "depth_multiplier": multiplier, "activation": 1}
    file.op("DEPTHWISE_CONV_2D", [file.x(1, 9, 8, 6), w, bias], [y], **options)
    assert set(primitives(compare(file, [y]))) - {"reshape"} == ({"dwconv"} if multiplier == 1 else {"copy", "dwconv"})


def test_dense_and_transposed() -> None:
    file = Net()
    (w, bias), (v, other) = file.weights(7, 40), file.weights(3, 2, 2, 4)
    y, z = file.y(3, 7, scale=0.2), file.y(1, 8, 10, 3, scale=0.08)
    file.op("FULLY_CONNECTED", [file.x(3, 40), w, bias], [y])
    shape = file.constant(np.array([1, 8, 10, 3], np.int32))
    file.op("TRANSPOSE_CONV", [shape, v, file.x(1, 4, 5, 4), other], [z], padding=0, stride_h=2, stride_w=2)
    assert set(primitives(compare(file, [y, z]))) <= {"dense", "deconv", "reshape"}


@pytest.mark.parametrize("name", ("ADD", "SUB"))
def test_sum_rounds_as_litert(name: str) -> None:
    """All pairs of integers; these scales round otherwise for five of them unless they are moved."""
    file = Net()
    a, b = file.x(256, 1, scale=0.034122482, zero=-128), file.x(1, 256, scale=0.081856005, zero=20)
    y = file.y(256, 256, scale=0.049982473, zero=-128)
    file.op(name, [a, b], [y], activation=0)
    content = file.content(y)
    steps = np.arange(-128, 128).astype(np.int8)
    arrays = [steps.reshape(256, 1), steps.reshape(1, 256)]
    assert "binary" in primitives(content)
    np.testing.assert_array_equal(ours(content, arrays)[0], litert(content, arrays)[0])


def test_a_residual_goes_into_its_convolution() -> None:
    """Also where the scales of a sum were moved, so that it rounds as LiteRT's does."""
    file = Net()
    w, bias = file.weights(4, 3, 3, 4)
    x, y, z = file.x(1, 9, 8, 4), file.y(1, 9, 8, 4, scale=0.0756), file.y(1, 9, 8, 4, scale=0.0852)
    file.op("CONV_2D", [x, w, bias], [y], **(CONV | {"stride_h": 1}), activation=0)
    file.op("ADD", [x, y], [z], activation=1)
    assert "binary" not in primitives(compare(file, [z]))


def test_mean_of_integers_rounds_as_litert() -> None:
    file = Net()
    x, y = file.x(1, 16, 16, 8), file.y(1, 8, 8, 8, scale=X[0], zero=X[1])
    file.op("AVERAGE_POOL_2D", [x], [y], **POOL)
    assert set(primitives(compare(file, [y]))) <= {"pool", "reshape"}


# operator, shapes of its inputs, constants behind them, options, scale and zero point of the result, primitives
SINGLE: list[tuple[str, list[tuple[int, ...]], list[Any], dict[str, Any], tuple[float, int], set[str]]] = [
    ("MUL", [(4, 9), (4, 9)], [], {}, (0.05, 3), {"binary"}),
    ("MAXIMUM", [(4, 9), (4, 9)], [], {}, X, {"binary"}),
    ("LOGISTIC", [(4, 64)], [], {}, (1 / 256, -128), {"lut"}),
    ("TANH", [(4, 64)], [], {}, (1 / 128, 0), {"lut"}),
    ("HARD_SWISH", [(4, 64)], [], {}, (0.02, -100), {"lut"}),
    ("LEAKY_RELU", [(4, 64)], [], {"alpha": 0.2}, (0.02, -40), {"lut"}),
    ("RELU6", [(4, 64)], [], {}, (0.02, -128), {"lut"}),
    ("QUANTIZE", [(4, 64)], [], {}, (0.04, 11), {"cast"}),
    ("SOFTMAX", [(4, 10)], [], {"beta": 1.0}, (1 / 256, -128), {"cast", "softmax"}),
    ("MEAN", [(1, 5, 6, 8)], [np.array([1, 2], np.int32)], {}, (0.015, 2), {"reduce"}),
    ("MAX_POOL_2D", [(1, 8, 8, 4)], [], POOL, X, {"pool"}),
    ("RESIZE_NEAREST_NEIGHBOR", [(1, 3, 4, 5)], [np.array([6, 8], np.int32)], {}, X, {"resize"}),
    ("RESIZE_BILINEAR", [(1, 3, 4, 5)], [np.array([6, 8], np.int32)], {"half_pixel_centers": True}, X, {"resize"}),
    ("PAD", [(1, 3, 4, 5)], [np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)], {}, X, {"pad"}),
    ("CONCATENATION", [(2, 3), (2, 4)], [], {"axis": 1}, X, {"concat"}),
    ("TRANSPOSE", [(2, 3, 4)], [np.array([2, 0, 1], np.int32)], {}, X, {"copy"}),
    ("RESHAPE", [(2, 3, 4)], [np.array([4, 6], np.int32)], {}, X, {"copy", "reshape"}),
    ("STRIDED_SLICE", [(9, 8)], [np.array(v, np.int32) for v in ([0, 1], [9, 7], [2, 3])], {}, X, {"copy"}),
    ("BATCH_MATMUL", [(2, 3, 16), (2, 16, 4)], [], {}, (0.15, 0), {"matmul"}),
]


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: str(case[0]))
def test_operator(case: Any) -> None:
    name, shapes, constants, options, (scale, zero), wanted = case
    file = Net()
    inputs = [file.x(*shape) for shape in shapes]
    y = file.y(scale=scale, zero=zero)
    file.op(name, [*inputs, *map(file.constant, constants)], [y], **options)
    content = compare(file, [y], most=1, share=0.12)
    assert set(primitives(content)) - {"reshape", "copy"} == wanted - {"reshape", "copy"}


def test_uint8() -> None:
    """uint8 stays so at the borders, and is int8 within; weights with a zero point lose it."""
    file = Net("uint8")
    (w, bias), x = file.weights(6, 3, 3, 4), file.x(1, 8, 8, 4)
    y, z = file.y(1, 4, 8, 6, scale=0.08), file.y(1, 2, 4, 6, scale=0.08)
    file.op("CONV_2D", [x, w, bias], [y], **CONV, activation=1)
    file.op("AVERAGE_POOL_2D", [y], [z], **POOL)
    content = compare(file, [z], most=1, share=0.2)
    assert set(primitives(content)) <= {"cast", "lut", "conv", "pool", "reshape"}
    assert any("rounded" in note for note in read_source(content).graph().notes)


def test_half_weights() -> None:
    """Weights in float16 behind DEQUANTIZE are float32 constants."""
    file = Tflite()
    x, y = file.input("float32", (1, 8, 8, 3)), file.tensor("float32")
    half, real = file.constant(RNG.normal(size=(4, 3, 3, 3)).astype(np.float16)), file.tensor("float32")
    file.op("DEQUANTIZE", [half], [real])
    file.op("CONV_2D", [x, real, file.constant(np.zeros(4, np.float32))], [y], **CONV)
    content, data = file.content(y), [RNG.normal(size=(1, 8, 8, 3)).astype(np.float32)]
    np.testing.assert_allclose(ours(content, data)[0], litert(content, data)[0], atol=1e-5)
    assert primitives(content) == ["conv"]


def test_four_bit_weights() -> None:
    file = Tflite()
    values = RNG.integers(-7, 8, (6, 10)).astype(np.int8)
    packed = (values.reshape(-1)[0::2] & 15) | (values.reshape(-1)[1::2] << 4)
    w = file.tensor("int4", values.shape, packed.astype(np.int8), scale=0.1)
    x, y = file.input("int8", (2, 10), scale=X[0], zero=X[1]), file.tensor("int8", scale=0.1, zero=0)
    file.op("FULLY_CONNECTED", [x, w, -1], [y])
    content, q = file.content(y), whole(2, 10)
    expected = np.rint(((q.astype(int) - X[1]) @ values.T.astype(int)) * (X[0] * 0.1 / 0.1)).clip(-128, 127)
    np.testing.assert_array_equal(ours(content, [q])[0], expected)


def test_weights_alone() -> None:
    """Where only weights are quantised we compute in float32; LiteRT rounds activations as it runs."""
    file = Tflite()
    x, y = file.input("float32", (1, 40)), file.tensor("float32", (1, 7))
    w = file.constant(RNG.integers(-127, 128, (7, 40)).astype(np.int8), scale=0.01)
    file.op("FULLY_CONNECTED", [x, w, -1], [y])
    report = convert(file.content(y))
    assert report.ops_after == {"dense": 1} and 0 < report.differences[0].relative < 0.05


def test_a_file_says_what_its_integers_stand_for() -> None:
    file = Net()
    w, bias = file.weights(5, 3, 3, 3)
    y, z = file.y(1, 8, 16, 5), file.tensor("float32", (1, 8, 16, 5))
    file.op("CONV_2D", [file.x(1, 16, 16, 3), w, bias], [y], **CONV)
    file.op("DEQUANTIZE", [y], [z])
    report = convert(file.content(y, z))
    assert report.against.startswith("ai-edge-litert") and all(d.largest == 0 for d in report.differences)
    model = load(report.content)
    assert model.inputs[0].quant == (np.float32(X[0]), X[1]) and model.outputs[1].quant is None
    model.run(whole(1, 16, 16, 3))
    np.testing.assert_array_equal(model.real_output(0), model.output(1))
