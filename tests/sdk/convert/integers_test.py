"""Operators between casts in int8: each against what it means in real numbers, and where casts go."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ops"))

import oracle
import passes

from tody.convert.graph import Graph, Node, Quant, Value
from tody.convert.integers import to_integers

Array = NDArray[Any]
RELU6 = ("clamp", 0.0, 6.0)


def quant_of(real: Array) -> Quant:
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return Quant((scale,), int(np.clip(round(-128 - low / scale), -128, 127)))


class Net:
    """A graph under construction. Methods take and return names of float32 values."""

    def __init__(self, seed: int = 1) -> None:
        self.graph, self.random = Graph(), np.random.default_rng(seed)
        self.feeds: list[Array] = []
        self.reals: dict[str, Array] = {}  # what float32 values between casts are, in double precision

    def value(self, shape: tuple[int, ...], dtype: str = "float32", quant: Quant | None = None, **more: Any) -> str:
        name = f"v{len(self.graph.values)}"
        self.graph.values[name] = Value(name, shape, dtype, quant=quant, **more)
        return name

    def input(self, *shape: int, low: float = -2.0, high: float = 2.0) -> str:
        """A quantised input."""
        array = self.random.uniform(low, high, shape).astype(np.float32)
        name = self.value(shape)
        self.graph.inputs.append(name)
        self.feeds.append(array)
        self.reals[name] = array.astype(np.float64)
        return self.quantised(name, quant_of(array))

    def quantised(self, name: str, quant: Quant) -> str:
        """A pair of casts behind a value."""
        shape = self.graph.values[name].shape
        whole, real = self.value(shape, "int8", quant), self.value(shape)
        self.graph.nodes += [Node("cast", [name], [whole]), Node("cast", [whole], [real])]
        self.reals[real] = quant.dequantise(quant.quantise(self.reals[name])).astype(np.float64)
        return real

    def weights(self, *shape: int, scales: tuple[float, ...] = (0.01,), pack: str = "panels") -> str:
        whole = self.random.integers(-127, 128, shape).astype(np.int8)
        name = self.value(shape, "int8", Quant(scales), data=whole, pack=pack)
        real = self.value(shape, pack=pack)
        self.graph.nodes.append(Node("cast", [name], [real]))
        spread = np.reshape(scales, (shape[0], -1, 1, 1) if pack == "panels" else (1, -1)) if len(scales) > 1 else scales[0]
        self.reals[real] = whole * np.asarray(spread, np.float32).astype(np.float64)
        return real

    def constant(self, data: Any, pack: str = "plain") -> str:
        array = np.asarray(data)
        name = self.value(array.shape, str(array.dtype), data=array, pack=pack)
        self.reals[name] = array.astype(np.float64) if array.dtype == np.float32 else array
        return name

    def op(self, op: str, *inputs: str | None, **attrs: Any) -> str:
        """An operator with a float32 result."""
        result = oracle.run(op, [None if n is None else self.reals[n] for n in inputs], attrs)[0]
        name = self.value(result.shape)
        if op == "copy":
            attrs = {"offset": attrs.get("offset", 0), "stride": attrs["stride"]}
        self.graph.nodes.append(Node(op, list(inputs), [name], attrs))
        self.reals[name] = np.asarray(result, np.float64)
        return name

    def output(self, name: str, quant: Quant | None = None) -> Array:
        """The integers of a value, an output from now on; returns those that it should have."""
        quant = quant or quant_of(self.reals[name])
        whole = self.value(self.graph.values[name].shape, "int8", quant)
        self.graph.nodes.append(Node("cast", [name], [whole]))
        self.graph.outputs.append(whole)
        return quant.quantise(self.reals[name])

    def run(self) -> list[Array]:
        return passes.run(self.graph, *self.feeds)


def window(kernel: int, stride: int = 1, pad: int = 0) -> dict[str, Any]:
    return {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "dilation": (1, 1), "pad": (pad,) * 4}


def conv(net: Net) -> str:
    x, addend = net.input(1, 7, 6, 10), net.input(1, 7, 6, 20, low=0.0)
    w = net.weights(1, 20, 9, 10, scales=tuple(np.linspace(0.001, 0.02, 20)))
    bias = net.constant(np.linspace(-1, 1, 20, dtype=np.float32).reshape(1, 20), "panels")
    return net.op("conv", x, w, bias, addend, **window(3, 1, 1), groups=1, activation=RELU6)


def grouped_conv(net: Net) -> str:
    w = net.weights(2, 5, 4, 3, scales=tuple(np.linspace(0.01, 0.02, 10)))
    return net.op("conv", net.input(1, 6, 6, 6), w, **window(2, 2), groups=2, activation=("none", 0, 0))


def dwconv(net: Net) -> str:
    w = net.weights(9, 12, scales=tuple(np.linspace(0.001, 0.02, 12)), pack="plain")
    bias = net.constant(np.linspace(-2, 1, 12, dtype=np.float32))
    return net.op("dwconv", net.input(2, 6, 5, 12), w, bias, **window(3, 2, 1), groups=12, activation=RELU6)


def dense(net: Net) -> str:
    bias = net.constant(np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 6), "panels")
    return net.op("dense", net.input(5, 33), net.weights(1, 6, 1, 33), bias, activation=("none", 0, 0))


def deconv(net: Net) -> str:
    shape = {"shape": (1, 8, 8, 4)} if "shape" in oracle.deconv.__code__.co_varnames else {}
    return net.op("deconv", net.input(1, 4, 4, 6), net.weights(2, 2, 4, 3), **window(2, 2), groups=2, **shape)


def matmul(net: Net) -> str:
    return net.op("matmul", net.input(2, 5, 7), net.input(2, 4, 7, low=0.0), transpose_b=1)


def average(net: Net) -> str:
    return net.op("pool", net.input(1, 7, 7, 5), **window(3, 2, 1), kind="average", include_pad=0)


def mean(net: Net) -> str:
    return net.op("reduce", net.input(2, 7, 7, 5), fn="mean", axes=6)


def total(net: Net) -> str:
    return net.op("reduce", net.input(2, 7, 7, 5, low=0.0), fn="sum", axes=6)


def add(net: Net) -> str:
    return net.op("binary", net.input(1, 5, 5, 8), net.input(1, 1, 1, 8, low=0.0), fn="add", activation=RELU6)


def subtract(net: Net) -> str:
    return net.op("binary", net.input(1, 5, 5, 8), net.input(1, 5, 5, 8, high=0.3), fn="sub")


def multiply(net: Net) -> str:
    return net.op("binary", net.input(1, 5, 5, 8), net.input(1, 1, 1, 8, low=0.0, high=1.0), fn="mul")


def sigmoid(net: Net) -> str:
    return net.op("unary", net.input(3, 40, low=-6.0, high=6.0), function=("sigmoid", 0.0, 0.0))


def hard_swish(net: Net) -> str:
    return net.op("unary", net.input(3, 40, low=-6.0, high=6.0), function=("hard_swish", 0.0, 0.0))


def linear_resize(net: Net) -> str:
    index = net.constant(np.array([[0, 1], [0, 1], [1, 2], [2, 2]], np.int32))
    weight = net.constant(np.array([[0.71, 0.29], [0.3, 0.7], [0.63, 0.37], [1, 0]], np.float32))
    return net.op("resize", net.input(1, 3, 3, 5), index, weight, index, weight)


def channels(net: Net) -> str:
    """A scale and a shift of every channel, of which one is zero and one negative."""
    x = net.op("binary", net.input(1, 4, 4, 3), net.constant(np.float32([[[[0.5, 0.0, -2.0]]]])), fn="mul")
    return net.op("binary", x, net.constant(np.float32([[[[0.1, 1.0, -1.0]]]])), fn="add", activation=RELU6)


ROUNDING = [
    conv,
    grouped_conv,
    dwconv,
    dense,
    deconv,
    matmul,
    average,
    mean,
    total,
    add,
    subtract,
    multiply,
    sigmoid,
    hard_swish,
]
ROUNDING += [linear_resize, channels]


@pytest.mark.parametrize("make", ROUNDING, ids=lambda make: make.__name__)
def test_rounds_once(make: Any) -> None:
    """The nearest integer to the result in real numbers, but for what lies within a hair of a half."""
    net = Net()
    y = make(net)
    kept = next(value.quant for value in net.graph.values.values() if value.quant) if make is linear_resize else None
    expected = net.output(y, kept)
    assert to_integers(net.graph) == []
    operators = [node for node in net.graph.nodes if node.op not in ("cast", "reshape")]
    assert operators and all(net.graph.values[node.outputs[0]].dtype == "int8" for node in operators)
    (got,) = net.run()
    apart = np.abs(got.astype(int) - expected)
    assert apart.max() <= 1 and (apart == 0).mean() >= 0.97


def largest(net: Net, x: str) -> str:
    return net.op("pool", x, **window(3, 2, 1), kind="max", include_pad=0)


def transpose(net: Net, x: str) -> str:
    return net.op("copy", x, shape=(1, 6, 4, 4), stride=(96, 1, 24, 6), offset=0)


def pad(net: Net, x: str) -> str:
    return net.op("pad", x, shape=(1, 6, 6, 6), mode="constant", before=(0, 1, 1, 0), after=(0, 1, 1, 0), value=0.7)


def nearest(net: Net, x: str) -> str:
    index, one = net.constant(np.array([[0], [0], [2], [3]], np.int32)), net.constant(np.ones((4, 1), np.float32))
    return net.op("resize", x, index, one, index, one)


def gather(net: Net, x: str) -> str:
    return net.op("gather", x, net.constant(np.array([3, 0, 0], np.int32)), axis=1)


def join(net: Net, x: str) -> str:
    return net.op("concat", x, net.input(1, 4, 4, 6, low=-0.5, high=5.0), x, axis=3)


def choose(net: Net, x: str) -> str:
    return net.op("binary", x, net.input(1, 4, 4, 6, low=-0.5, high=5.0), fn="max")


def highest(net: Net, x: str) -> str:
    return net.op("reduce", x, fn="max", axes=6)


MOVING = [largest, transpose, pad, nearest, gather, join, choose, highest]


@pytest.mark.parametrize("make", MOVING, ids=lambda make: make.__name__)
def test_moves_integers(make: Any) -> None:
    """What moves or chooses costs one rounding where quantisations differ, and none where they are equal."""
    net = Net()
    expected = net.output(make(net, net.input(1, 4, 4, 6)))
    assert to_integers(net.graph) == []
    inner = [value for name, value in net.graph.values.items() if name not in net.graph.inputs and not value.constant]
    assert all(value.dtype == "int8" for value in inner)
    (got,) = net.run()
    apart = np.abs(got.astype(int) - expected)
    assert apart.max() <= 1 and (apart == 0).mean() >= 0.97


def plain_conv(net: Net, x: str) -> str:
    w = net.weights(1, 20, 9, 20, scales=tuple(np.linspace(0.001, 0.02, 20)))
    return net.op("conv", x, w, **window(3, 1, 1), groups=1, activation=("none", 0, 0))


def plain_dwconv(net: Net, x: str) -> str:
    bias = net.constant(np.linspace(-2, 1, 20, dtype=np.float32))
    w = net.weights(9, 20, scales=tuple(np.linspace(0.001, 0.02, 20)), pack="plain")
    return net.op("dwconv", x, w, bias, **window(3, 1, 1), groups=20, activation=("none", 0, 0))


def plain_dense(net: Net, x: str) -> str:
    return net.op("dense", x, net.weights(1, 20, 1, 20), activation=("none", 0, 0))


@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize("layer", [plain_conv, plain_dwconv, plain_dense], ids=lambda layer: layer.__name__)
def test_an_addition_in_a_layer_gives_the_bytes_of_one_by_itself(layer: Any, swapped: bool) -> None:
    def sum_of(shared: bool) -> tuple[Graph, Array]:
        net = Net()
        x, other = net.input(1, 7, 6, 20), net.input(1, 7, 6, 20, low=-0.5, high=4.0)
        y = layer(net, x)
        y = net.quantised(y, quant_of(net.reals[y] / 1.5))  # so that some are cut off
        total = net.op("binary", *((other, y) if swapped else (y, other)), fn="add", activation=("clamp", 0.0, 6.0))
        expected = net.output(total)
        if shared:
            net.output(y)  # a second user: the layer has to make it as it is
        assert to_integers(net.graph) == []
        got = net.run()[0]
        assert (got == expected).mean() >= 0.97  # a step of the layer's is many of the sum's
        return net.graph, got

    (alone, by_itself), (joined, inside) = sum_of(True), sum_of(False)
    assert "binary int8" in operators(alone) and "binary int8" not in operators(joined)
    assert np.array_equal(by_itself, inside)


def operators(graph: Graph) -> list[str]:
    return [f"{node.op} {graph.values[str(node.outputs[0])].dtype}" for node in graph.nodes if node.op != "reshape"]


def test_casts_that_undo_each_other_vanish() -> None:
    net = Net()
    x = net.input(1, 8)
    quant = quant_of(net.reals[x])
    net.output(net.quantised(x, quant), quant)
    to_integers(net.graph)
    assert operators(net.graph) == ["cast int8"]


def test_data_moves_as_bytes() -> None:
    """Between an input and what takes numbers, a transposition moves integers."""
    net = Net()
    moved = transpose(net, net.input(1, 4, 4, 6))
    net.graph.outputs.append(net.op("softmax", moved, axis=3, log=0))
    notes = to_integers(net.graph)
    assert operators(net.graph) == ["cast int8", "copy int8", "cast float32", "softmax float32"]
    assert len(notes) == 1 and "softmax has no integer form" in notes[0]


def test_says_why_an_operator_stays_float() -> None:
    net = Net()
    x, weights = net.input(1, 5, 5, 4), net.weights(1, 8, 1, 4)
    silu = net.op("conv", x, weights, **window(1), groups=1, activation=("silu", 1.0, 0.0))
    net.output(silu)
    net.graph.outputs.append(net.op("conv", x, weights, **window(1), groups=1, activation=("none", 0, 0)))
    notes = to_integers(net.graph)
    assert ["silu" in notes[0], "its result is not quantised" in notes[1], len(notes)] == [True, True, 2]
    made = {str(node.op): net.graph.values[str(node.inputs[1])] for node in net.graph.nodes if node.op == "conv"}
    assert made["conv"].dtype == "float32" and made["conv"].pack == "panels"
    net.run()  # with float32 weights in the place of quantised ones


def test_sums_that_could_leave_32_bits_stay_float() -> None:
    net = Net()
    whole = net.weights(1, 2, 1, 70_000, scales=(0.01,))
    value = net.graph.values[str(net.graph.nodes[-1].inputs[0])]
    value.data = np.full(value.shape, 127, np.int8)
    net.reals[whole] = value.data * 0.01
    net.output(net.op("dense", net.input(1, 70_000, low=0.0), whole, activation=("none", 0, 0)))
    (note,) = to_integers(net.graph)
    assert "32 bits" in note


def test_weights_that_count_for_nothing_next_to_their_bias() -> None:
    """Such a channel is its bias; the scale of its weights alone would not let that fit into 32 bits."""
    net = Net()
    weights = net.weights(1, 2, 1, 4, scales=(1e-12, 0.01))
    bias = net.constant(np.float32([[1.5, -0.5]]), "panels")
    expected = net.output(net.op("dense", net.input(3, 4), weights, bias, activation=("none", 0, 0)))
    assert to_integers(net.graph) == []
    np.testing.assert_array_equal(net.run()[0][:, 0], expected[:, 0])


def test_quantisations_come_through_layout_and_sharing() -> None:
    """Equal bytes that stand for different numbers are different constants, and equal nodes of other quantisation differ."""
    net = Net()
    x = net.input(2, 6)
    outputs = [net.output(x, Quant((0.5,), zero)) for zero in (3, -3)]
    shared = np.arange(6, dtype=np.float32).reshape(1, 6)
    for scale in (0.5, 0.25):
        constant = net.constant(shared)
        outputs.append(net.output(net.op("binary", x, net.quantised(constant, Quant((scale,))), fn="mul"), Quant((0.1,))))
    assert to_integers(net.graph) == []
    for got, expected in zip(net.run(), outputs, strict=True):
        assert np.abs(got.astype(int) - expected).max() <= 1


def test_constants_are_requantised_here() -> None:
    """A quantised constant that stands behind a cast to another quantisation costs nothing on the device."""
    net = Net()
    zeros = net.quantised(net.constant(np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)), Quant((0.25,), 3))
    expected = net.output(net.op("concat", net.input(2, 8), zeros, axis=0), Quant((0.05,), -9))
    assert to_integers(net.graph) == []
    assert operators(net.graph).count("cast int8") == 2  # of the input, and to the quantisation of the result
    assert np.abs(net.run()[0].astype(int) - expected).max() <= 1


def test_a_function_of_one_value_is_one_table() -> None:
    """x * sigmoid(x), each result quantised, and quantised once more: to the byte what the operators would make."""
    net = Net()
    x = net.input(3, 50, low=-5.0, high=5.0)
    gate = net.quantised(net.op("unary", x, function=("sigmoid", 0.0, 0.0)), Quant((1 / 256,), -128))
    swish = net.quantised(net.op("binary", x, gate, fn="mul"), Quant((0.04,), -120))
    expected = net.output(net.op("unary", swish, function=("neg", 0.0, 0.0)), Quant((0.05,), 100))
    assert to_integers(net.graph) == []
    assert operators(net.graph) == ["cast int8", "lut int8"]
    apart = np.abs(net.run()[0].astype(int) - expected)
    assert apart.max() <= 1 and (apart == 0).mean() >= 0.97


def test_what_is_not_quantised_between_two_casts_is_one_table() -> None:
    """A GELU whose steps make float32."""
    net = Net()
    x = net.input(3, 50, low=-4.0, high=4.0)
    erf = net.op("unary", net.op("unary", x, function=("affine", 0.5**0.5, 0.0)), function=("erf", 0.0, 0.0))
    twice = net.op("binary", x, net.op("binary", erf, net.constant(np.float32([[1.0]])), fn="add"), fn="mul")
    expected = net.output(net.op("binary", net.constant(np.float32([0.5])), twice, fn="mul"), Quant((0.02,), -100))
    assert to_integers(net.graph) == []
    assert operators(net.graph) == ["cast int8", "lut int8"]
    apart = np.abs(net.run()[0].astype(int) - expected)
    assert apart.max() <= 1 and (apart == 0).mean() >= 0.97


@pytest.mark.parametrize("count", [32, 600])
def test_a_long_row_of_functions_stays_as_it_is(count: int) -> None:
    net = Net()
    y = net.input(3, 50)
    for i in range(count):
        y = net.op("unary", y, function=("sin" if i % 2 else "atan", 0.0, 0.0))
    expected = net.output(y)
    assert len(to_integers(net.graph)) == (0 if count == 32 else count)
    assert np.abs(net.run()[0].astype(int) - expected).max() <= 1


def test_a_function_of_two_values_is_no_table() -> None:
    net = Net()
    difference = net.op("binary", net.input(3, 50), net.input(3, 50), fn="sub")
    expected = net.output(net.op("unary", difference, function=("abs", 0.0, 0.0)))
    notes = to_integers(net.graph)
    assert len(notes) == 2 and "lut int8" not in operators(net.graph)
    assert np.abs(net.run()[0].astype(int) - expected).max() <= 1


def test_a_product_that_spreads_one_factor_is_no_table() -> None:
    net = Net()
    x = net.input(1, 50)
    gate = net.quantised(net.op("unary", net.input(1, 1), function=("sigmoid", 0.0, 0.0)), Quant((1 / 256,), -128))
    expected = net.output(net.op("binary", x, gate, fn="mul"))
    to_integers(net.graph)
    assert "binary int8" in operators(net.graph)
    assert np.abs(net.run()[0].astype(int) - expected).max() <= 1
