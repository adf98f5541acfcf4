"""The layout pass: transposes between convolutions vanish, whatever stands between them, and the numbers stay."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net
from passes import optimised

from tody.convert.cut import SINK, SOURCE, Network


def conv(net: Net, x: str, taken: int = 6, made: int = 6) -> str:
    return net.conv(x, taken, made, 3)


def numbers(net: Net, *values: int) -> str:
    return net.constant(np.array(values))


def cut(net: Net, x: str, first: int, last: int, axis: int, step: int) -> str:
    return str(net.op("Slice", x, *(numbers(net, n) for n in (first, last, axis, step))))


def excited(net: Net, x: str) -> str:
    return str(net.op("Mul", x, net.op("Sigmoid", net.conv(net.op("GlobalAveragePool", x), 6, 6))))


def there_and_back(net: Net, x: str) -> str:
    y = net.op("Relu", net.op("Reshape", x, numbers(net, 1, 6, 80)))
    return str(net.op("Reshape", y, numbers(net, 1, 6, 8, 10)))


def shuffled(net: Net, x: str) -> str:
    y = net.op("Transpose", net.op("Reshape", x, numbers(net, 1, 2, 3, 8, 10)), perm=[0, 2, 1, 3, 4])
    return str(net.op("Reshape", y, numbers(net, 1, 6, 8, 10)))


def dense(net: Net, x: str) -> str:
    y = net.op("MatMul", net.op("Transpose", x, perm=[0, 2, 3, 1]), net.floats(6, 6))
    return str(net.op("Transpose", y, perm=[0, 3, 1, 2]))


Middle = Callable[[Net, str], str]
BETWEEN: dict[str, tuple[Middle, int]] = {  # what stands between two convolutions, and the copies it takes itself
    "unary": (lambda net, x: net.op("Exp", net.op("Neg", x)), 0),
    "binary with a constant": (lambda net, x: net.op("Max", x, net.floats(6, 8, 10)), 0),
    "where": (lambda net, x: net.op("Where", net.op("Less", x, net.number(0)), net.floats(6, 1, 10), x), 0),
    "cast": (lambda net, x: net.op("Cast", net.op("Cast", x, to=6), to=1), 0),
    "concat": (lambda net, x: conv(net, net.op("Concat", x, net.op("Tanh", x), axis=1), 12), 0),
    "pad": (lambda net, x: net.op("Pad", x, numbers(net, 0, 0, 1, 0, 0, 0, 0, 2), mode="edge"), 0),
    "reduce": (lambda net, x: net.op("Mul", x, net.op("ReduceMax", x, axes=[1], keepdims=1)), 0),
    "softmax": (lambda net, x: net.op("Softmax", x, axis=1), 0),
    "cumulative sum": (lambda net, x: net.op("CumSum", x, net.constant(np.array(2))), 0),
    "slice of rows": (lambda net, x: cut(net, x, 1, 7, 2, 2), 1),
    "slice of channels": (lambda net, x: conv(net, cut(net, x, 1, 5, 1, 1), 4), 1),
    "gather of channels": (lambda net, x: net.op("Gather", x, numbers(net, 5, 0, 1, 2, 2, 4), axis=1), 0),
    "squeeze and excitation": (excited, 0),
    "upsampling": (lambda net, x: net.op("Resize", x, "", net.constant(np.float32([1, 1, 2, 2])), mode="linear"), 0),
    "a reshape and back": (there_and_back, 0),
    "channel shuffle": (shuffled, 1),
    "instance norm": (lambda net, x: net.op("InstanceNormalization", x, net.floats(6), net.floats(6)), 0),
    "a dense layer on channels": (dense, 0),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_transposes_stay_at_the_borders(name: str) -> None:
    between, own = BETWEEN[name]
    net = Net(seed=5)
    x = conv(net, net.input(1, 4, 8, 10), 4)
    _, ops = optimised(net.model(conv(net, between(net, x))))
    assert ops["copy"] == 2 + own, ops


def test_a_branch_that_needs_the_old_layout_costs_one_copy() -> None:
    net = Net()
    x = net.op("Relu", conv(net, net.input(1, 4, 8, 10), 4))
    flat = net.op("MatMul", net.op("Reshape", x, net.constant(np.array([6, 80]))), net.floats(80, 3))
    _, ops = optimised(net.model(conv(net, x), flat))
    assert ops["copy"] == 3


def test_transposes_of_a_model_that_is_channels_last_stay_away() -> None:
    net = Net()
    x = net.op("Transpose", net.input(1, 8, 10, 4), perm=[0, 3, 1, 2])
    x = net.op("Concat", conv(net, x, 4), conv(net, x, 4), axis=1)
    _, ops = optimised(net.model(net.op("Transpose", x, perm=[0, 2, 3, 1])))
    assert "copy" not in ops


def test_a_model_without_convolutions_keeps_its_copies() -> None:
    net = Net()
    _, ops = optimised(net.model(net.op("Transpose", net.op("Exp", net.input(3, 4, 5)), perm=[2, 0, 1])))
    assert ops == {"copy": 1, "unary": 1}


def test_cut_is_the_least_of_all() -> None:
    rng = random.Random(4)
    for _ in range(200):
        count = rng.randint(1, 6)
        nodes: list[object] = [SOURCE, SINK, *range(count)]
        edges = [(rng.choice(nodes), rng.choice(nodes), float(rng.randint(0, 9))) for _ in range(3 * count)]
        network = Network()
        for a, b, capacity in edges:
            network.edge(a, b, capacity)
        cost, side = network.cut()
        parts = [{SOURCE, *(i for i in range(count) if bits >> i & 1)} for bits in range(2**count)]
        costs = [sum(c for a, b, c in edges if a in part and b not in part) for part in parts]
        assert cost == min(costs)
        assert sum(c for a, b, c in edges if a in side and b not in side) == cost
