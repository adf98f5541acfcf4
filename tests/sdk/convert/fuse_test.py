"""Each fusion on a model of a few nodes: the operators that are left, and the same numbers as before from the runtime."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net
from passes import optimised, run

from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise

INF = math.inf
Make = Callable[[Net, str], str]


def conv(net: Net) -> str:
    return net.conv(net.input(1, 4, 6, 6), 4, 8, 3)


def depthwise(net: Net) -> str:
    return net.conv(net.input(1, 8, 6, 6), 8, 8, 3, group=8)


def transposed(net: Net) -> str:
    return str(net.op("ConvTranspose", net.input(1, 4, 6, 6), net.floats(4, 8, 2, 2), strides=[2, 2]))


def grouped(net: Net) -> str:
    return net.conv(net.input(1, 4, 6, 6), 4, 8, 3, group=2)


def left(net: Net, *outputs: str) -> dict[str, int]:
    """The operators left of a model, without copies and reshapes at its borders."""
    _, ops = optimised(net.model(*outputs))
    return {op: n for op, n in ops.items() if op not in ("copy", "reshape")}


@pytest.mark.parametrize("make", [conv, depthwise, transposed, grouped])
def test_batch_normalization_goes_into_the_weights(make: Callable[[Net], str]) -> None:
    net = Net()
    ops = left(net, net.norm(make(net), 8))
    assert sum(ops.values()) == 1, ops


def test_bias_and_scale_go_into_a_dense_layer() -> None:
    net = Net()
    y = net.op("Mul", net.op("MatMul", net.input(2, 3, 5), net.floats(5, 7)), net.floats(7))
    assert left(net, net.op("Sub", net.op("Add", y, net.floats(7)), net.floats(1, 1, 7))) == {"dense": 1}


def test_a_scale_that_is_not_per_channel_stays() -> None:
    net = Net()
    assert left(net, net.op("Mul", conv(net), net.floats(1, 1, 6, 1))) == {"conv": 1, "binary": 1}


def hard_swish(net: Net, x: str) -> str:
    return str(net.op("Div", net.op("Mul", x, net.relu6(net.op("Add", x, net.number(3)))), net.number(6)))


def hard_swish_of_hard_sigmoid(net: Net, x: str) -> str:
    return str(net.op("Mul", net.op("HardSigmoid", x, alpha=1 / 6, beta=0.5), x))


def hard_sigmoid(net: Net, x: str) -> str:
    return str(net.op("Mul", net.relu6(net.op("Add", x, net.number(3))), net.number(1 / 6)))


def silu(net: Net, x: str) -> str:
    return str(net.op("Mul", net.op("Sigmoid", x), x))


def mish(net: Net, x: str) -> str:
    return str(net.op("Mul", x, net.op("Tanh", net.op("Softplus", x))))


def gelu(net: Net, x: str) -> str:
    y = net.op("Add", net.op("Erf", net.op("Div", x, net.number(math.sqrt(2)))), net.number(1))
    return str(net.op("Mul", net.op("Mul", x, y), net.number(0.5)))


def gelu_otherwise(net: Net, x: str) -> str:
    y = net.op("Add", net.op("Erf", net.op("Mul", x, net.number(math.sqrt(0.5)))), net.number(1))
    return str(net.op("Mul", net.op("Mul", x, net.number(0.5)), y))


def gelu_tanh(net: Net, x: str) -> str:
    y = net.op("Add", x, net.op("Mul", net.number(0.044715), net.op("Pow", x, net.number(3))))
    y = net.op("Tanh", net.op("Mul", y, net.number(math.sqrt(2 / math.pi))))
    return str(net.op("Mul", net.op("Mul", x, net.number(0.5)), net.op("Add", y, net.number(1))))


def quick_gelu(net: Net, x: str) -> str:
    return str(net.op("Mul", x, net.op("Sigmoid", net.op("Mul", x, net.number(1.702)))))


def leaky_of_maximum(net: Net, x: str) -> str:
    return str(net.op("Max", x, net.op("Mul", x, net.number(0.1))))


def prelu_of_one_slope(net: Net, x: str) -> str:
    return str(net.op("PRelu", x, net.constant(np.full((8, 1, 1), 0.25, np.float32))))


ACTIVATIONS: list[tuple[Make, tuple[str, float, float]]] = [
    (lambda net, x: str(net.op("Relu", x)), ("clamp", 0.0, INF)),
    (Net.relu6, ("clamp", 0.0, 6.0)),
    (lambda net, x: str(net.op("Relu", net.op("Clip", x, "", net.number(2)))), ("clamp", 0.0, 2.0)),
    (lambda net, x: str(net.op("LeakyRelu", x, alpha=0.125)), ("leaky_relu", 0.125, 0.0)),
    (prelu_of_one_slope, ("leaky_relu", 0.25, 0.0)),
    (leaky_of_maximum, ("leaky_relu", 0.1, 0.0)),
    (lambda net, x: str(net.op("Sigmoid", x)), ("sigmoid", 0.0, 0.0)),
    (lambda net, x: str(net.op("Elu", x, alpha=0.5)), ("elu", 0.5, 0.0)),
    (silu, ("silu", 1.0, 0.0)),
    (quick_gelu, ("silu", 1.702, 0.0)),
    (hard_swish, ("hard_swish", 0.0, 0.0)),
    (hard_swish_of_hard_sigmoid, ("hard_swish", 0.0, 0.0)),
    (hard_sigmoid, ("hard_sigmoid", 1 / 6, 0.5)),
    (mish, ("mish", 0.0, 0.0)),
    (gelu, ("gelu", 0.0, 0.0)),
    (gelu_otherwise, ("gelu", 0.0, 0.0)),
    (gelu_tanh, ("gelu_tanh", 0.0, 0.0)),
]


@pytest.mark.parametrize(("spelt", "function"), ACTIVATIONS)
@pytest.mark.parametrize("make", [conv, depthwise, transposed])
def test_activation_goes_into_a_convolution(
    make: Callable[[Net], str], spelt: Make, function: tuple[str, float, float]
) -> None:
    net = Net()
    graph, ops = optimised(net.model(spelt(net, make(net))))
    assert set(ops) <= {"conv", "dwconv", "deconv", "copy"} and ops["copy"] == 2, ops
    (node,) = (n for n in graph.nodes if n.op != "copy")
    name, a, b = node.attrs["activation"]
    assert name == function[0] and (a, b) == pytest.approx(function[1:], abs=1e-6)


def test_a_bias_of_equal_numbers_hides_no_activation() -> None:
    net = Net()
    x = net.op("MatMul", net.input(6, 24), net.floats(24, 16))
    y = gelu(net, net.op("Add", x, net.constant(np.full(16, 0.02, np.float32))))
    graph, ops = optimised(net.model(net.op("MatMul", y, net.floats(16, 8))))
    assert ops == {"dense": 2}, ops
    assert graph.nodes[0].attrs["activation"][0] == "gelu"


@pytest.mark.parametrize(
    "near",
    [
        lambda net, x: net.op("Mul", x, net.op("Tanh", x)),
        lambda net, x: net.op("Mul", x, net.op("Sigmoid", net.op("Add", x, net.number(0.01)))),
    ],
)
def test_what_is_only_like_a_function_is_left_alone(near: Any) -> None:
    net = Net()
    assert left(net, near(net, conv(net)))["binary"] == 1


@pytest.mark.parametrize(
    ("spelt", "x", "wanted"),
    [
        (lambda net, x: net.op("Clip", net.op("Add", x, net.number(128)), net.number(0), net.number(255)), 500.0, 255.0),
        (lambda net, x: net.op("Clip", net.op("Mul", x, net.number(2)), net.number(-3e4), net.number(3e4)), 1e6, 3e4),
        (lambda net, x: net.op("Max", net.op("Abs", x), net.number(1e-12)), 0.0, 1e-12),
        (lambda net, x: net.op("Add", net.op("Abs", x), net.number(1e-7)), 0.0, 1e-7),
        (lambda net, x: net.op("Mul", net.op("Add", x, net.number(1)), net.number(1.234567e-6)), 0.0, 1.234567e-6),
    ],
)
def test_a_function_is_named_only_if_it_is_the_same_far_from_zero_and_near(spelt: Make, x: float, wanted: float) -> None:
    net = Net()
    graph = import_onnx(net.model(spelt(net, net.input(1, 4))))
    optimise(graph)
    np.testing.assert_allclose(run(graph, np.full((1, 4), x, np.float32))[0], wanted, rtol=1e-6)


def test_binary_takes_a_clamp_and_nothing_else() -> None:
    net = Net()
    a, b = net.input(2, 5, name="a"), net.input(2, 5, name="b")
    assert left(net, net.op("Relu", net.op("Mul", a, b))) == {"binary": 1}
    net = Net()
    a, b = net.input(2, 5, name="a"), net.input(2, 5, name="b")
    assert left(net, net.op("Sigmoid", net.op("Mul", a, b))) == {"binary": 1, "unary": 1}


def test_instance_norm_takes_its_activation() -> None:
    net = Net()
    y = net.op("InstanceNormalization", conv(net), net.floats(8), net.floats(8))
    assert left(net, net.op("Relu", y)) == {"conv": 1, "instance_norm": 1}


def test_residual_goes_into_the_later_convolution() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    a = net.conv(x, 8, 8, 3)
    assert left(net, net.op("Relu", net.op("Add", net.conv(net.op("Relu", a), 8, 8, 3), net.conv(x, 8, 8)))) == {"conv": 3}


def test_residual_stays_behind_an_activation_and_where_it_is_broadcast() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    assert left(net, net.op("Add", x, net.op("Relu", net.conv(x, 8, 8, 3)))) == {"conv": 1, "binary": 1}
    net = Net()
    x = net.input(1, 8, 6, 6)
    small = net.op("GlobalAveragePool", x)
    assert left(net, net.op("Add", net.conv(x, 8, 8, 3), small)) == {"binary": 1, "conv": 1, "reduce": 1}


def test_a_result_that_others_need_is_not_swallowed() -> None:
    net = Net()
    y = conv(net)
    assert left(net, y, net.op("Relu", y)) == {"conv": 1, "unary": 1}
    net = Net()
    y = conv(net)
    assert left(net, net.op("Mul", net.norm(y, 8), y)) == {"binary": 3, "conv": 1}


def padded(net: Net, value: float, pads: tuple[int, ...] = (0, 0, 1, 2, 0, 0, 2, 1)) -> str:
    return str(net.op("Pad", net.input(1, 4, 6, 6), net.constant(np.array(pads)), net.number(value)))


def test_zeros_go_into_a_convolution() -> None:
    net = Net()
    assert left(net, net.conv(padded(net, 0), 4, 8, 3)) == {"conv": 1}
    net = Net()
    assert left(net, net.conv(padded(net, 1), 4, 8, 3)) == {"conv": 1, "pad": 1}
    net = Net()
    assert left(net, net.conv(padded(net, 0, (0, 2, 0, 0, 0, 2, 0, 0)), 8, 8, 3)) == {"conv": 1, "pad": 1}


def test_zeros_stay_before_a_maximum() -> None:
    net = Net()
    y = net.op("Sub", padded(net, 0), net.number(50))  # the zeros must not win against numbers below them
    assert "pad" in left(net, net.op("MaxPool", y, kernel_shape=[3, 3]))
    net = Net()
    assert left(net, net.op("MaxPool", padded(net, 0), kernel_shape=[4, 4])) == {"pad": 1, "pool": 1}


def test_minus_infinity_goes_into_a_maximum() -> None:
    net = Net()
    assert left(net, net.op("MaxPool", padded(net, -INF), kernel_shape=[4, 4], strides=[2, 2])) == {"pool": 1}


@pytest.mark.parametrize("counted", [0, 1])
def test_zeros_go_into_an_average(counted: int) -> None:
    net = Net()
    assert left(net, net.op("AveragePool", padded(net, 0), kernel_shape=[3, 3], count_include_pad=counted)) == {"pool": 1}


def test_layer_norm_is_named() -> None:
    net = Net()
    x = net.input(2, 7, 16)
    d = net.op("Sub", x, net.op("ReduceMean", x, axes=[-1]))
    v = net.op("ReduceMean", net.op("Mul", d, d), axes=[-1])
    y = net.op("Div", d, net.op("Sqrt", net.op("Add", v, net.number(1e-5))))
    assert left(net, net.op("Add", net.op("Mul", y, net.floats(16)), net.floats(16))) == {"layer_norm": 1}


@pytest.mark.parametrize("shifted", [False, True])
def test_softmax_is_named(shifted: bool) -> None:
    net = Net()
    x = net.input(2, 7, 16)
    e = net.op("Exp", net.op("Sub", x, net.op("ReduceMax", x, axes=[1])) if shifted else x)
    assert left(net, net.op("Div", e, net.op("ReduceSum", e, net.constant(np.array([1]))))) == {"softmax": 1}


def test_chains_without_effect_vanish() -> None:
    net = Net()
    x = net.input(2, 5)
    y = net.op("Div", net.op("Mul", net.op("Add", x, net.number(3)), net.number(2)), net.number(2))
    y = net.op("Concat", net.op("Cast", net.op("Sub", y, net.number(3)), to=1), axis=0)
    assert left(net, net.op("Relu", net.op("Relu", y))) == {"unary": 1}


def test_equal_nodes_are_one() -> None:
    net = Net()
    x = net.input(2, 5)
    assert left(net, net.op("Concat", net.op("Exp", x), net.op("Exp", x), axis=0)) == {"concat": 1, "unary": 1}


def test_matmul_takes_its_second_operand_transposed() -> None:
    net = Net()
    a, b = net.input(2, 3, 5, name="a"), net.input(2, 4, 5, name="b")
    _, ops = optimised(net.model(net.op("MatMul", a, net.op("Transpose", b, perm=[0, 2, 1]))))
    assert ops == {"matmul": 1}


def test_a_convolution_that_is_taken_apart_makes_the_parts() -> None:
    net = Net()
    parts = net.op("Split", net.conv(net.input(1, 4, 6, 6), 4, 48, 3), net.constant(np.array([16, 32])), outputs=2, axis=1)
    _, ops = optimised(net.model(net.op("Concat", net.conv(parts[0], 16, 8), net.conv(parts[1], 32, 8, 3), axis=1)))
    assert ops == {"concat": 1, "conv": 4, "copy": 2}


def test_a_dense_layer_makes_query_key_and_value_apart() -> None:
    net = Net()
    y = net.op("MatMul", net.input(1, 5, 8), net.floats(8, 96))
    q, k, v = net.op("Split", net.op("Reshape", y, net.constant(np.array([1, 5, 3, 2, 16]))), outputs=3, axis=2)
    sums = [net.op("ReduceSum", net.op("Transpose", x, perm=[2, 0, 3, 1, 4]), net.constant(np.array([4]))) for x in (q, k, v)]
    graph, ops = optimised(net.model(*sums))
    assert ops["dense"] == 3 and {graph.values[n.outputs[0] or ""].shape for n in graph.nodes if n.op == "dense"} == {
        (1, 5, 32)
    }


def test_joining_one_number_is_padding() -> None:
    net = Net()
    x, twos, zeros = (
        net.input(1, 3, 4, 4),
        net.constant(np.full((1, 2, 4, 4), 2, np.float32)),
        net.constant(np.zeros((1, 1, 4, 4))),
    )
    y = net.op("Concat", twos, x, net.op("Cast", zeros, to=1), axis=1)
    assert left(net, net.op("Softmax", y, axis=3)) == {"pad": 2, "softmax": 1}
