"""Factors between layers: the float function stays, and channels become alike."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zoo
from net import Net
from numpy.typing import NDArray

from tody import golden
from tody.compress import place
from tody.compress.equalise import equalise
from tody.compress.observe import Probe, observe
from tody.convert.graph import Graph
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise

Sample = dict[str, NDArray[Any]]


def prepared(model: Any) -> tuple[Graph, list[Sample]]:
    graph = import_onnx(model)
    optimise(graph)
    place.prepare(graph)
    values = [graph.values[name] for name in graph.inputs]
    return graph, [{v.name: golden.splitmix64(seed, v.shape, -2.0, 2.0, v.dtype) for v in values} for seed in (1, 2)]


def equalised(model: Any) -> tuple[Graph, Graph, int]:
    """The graph before and after, and how many layers changed, after proof that both compute the same."""
    graph, samples = prepared(model)
    other = graph.copy()
    equalise(other, observe(graph, samples))
    count = sum(a.inputs != b.inputs for a, b in zip(graph.nodes, other.nodes, strict=True))
    before, after = Probe(graph), Probe(other)
    for sample in samples:
        for a, b in zip(before.run(sample).values(), after.run(sample).values(), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()))
    return graph, other, count


def imbalance(graph: Graph, samples: list[Sample]) -> float:
    """How much wider the widest channel of a value is than the typical one, on average over the layers' outputs, in octaves."""
    spreads = observe(graph, samples)
    found = []
    for node in graph.nodes:
        if node.op in place.LINEAR and node.outputs[0] not in graph.outputs:
            spread = spreads[node.outputs[0] or ""]
            reach = np.maximum(-spread.channel_low, spread.channel_high)
            found.append(np.log2(reach.max() / np.median(reach[reach > 0])))
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("name", "least"),
    [("mobilenet_v1", 10), ("mobilenet_v2", 4), ("mobilenet_v3_small", 8), ("resnet18", 9), ("shufflenet", 10)],
)
def test_keeps_the_function(name: str, least: int) -> None:
    _, _, count = equalised(getattr(zoo, name)())
    assert count >= least


def scaled_channels(net: Net, x: str, width: int, seed: int) -> str:
    """Channels that differ a hundredfold: what normalizations folded into weights leave behind."""
    sizes = np.exp(np.random.default_rng(seed).uniform(-2.5, 2.5, (1, width, 1, 1))).astype(np.float32)
    return str(net.op("Mul", x, net.constant(sizes)))


def test_makes_channels_alike() -> None:
    net = Net(5)
    x = net.op("LeakyRelu", scaled_channels(net, net.conv(net.input(1, 3, 16, 16), 3, 12, 3), 12, 1), alpha=0.1)
    y = net.op("Relu", scaled_channels(net, net.conv(x, 12, 12, 3, group=12), 12, 2))
    both = net.op("Concat", x, net.op("MaxPool", y, kernel_shape=[3, 3], pads=[1] * 4), axis=1)
    model = net.model(net.conv(both, 24, 8))
    graph, other, count = equalised(model)
    assert count == 3
    samples = prepared(model)[1]
    assert imbalance(other, samples) < 0.7 * imbalance(graph, samples)


def test_residual_sums_share_their_factors() -> None:
    net = Net(6)
    x = net.op("Relu", scaled_channels(net, net.conv(net.input(1, 3, 8, 8), 3, 8), 8, 1))
    y = net.op("Relu", net.op("Add", x, net.conv(net.op("Relu", net.conv(x, 8, 8, 3)), 8, 8, 3)))
    _, _, count = equalised(net.model(net.dense(net.flat(y), 8, 4)))
    assert count == 4


def test_stops_where_a_factor_cannot_pass() -> None:
    net = Net(7)
    x = net.relu6(net.conv(net.input(1, 3, 8, 8), 3, 8))
    y = net.op("Sigmoid", net.conv(x, 8, 8))
    assert equalised(net.model(net.op("Softmax", net.conv(y, 8, 4), axis=1)))[2] == 0


def test_outputs_keep_their_scale() -> None:
    net = Net(8)
    x = net.op("Relu", scaled_channels(net, net.conv(net.input(1, 3, 8, 8), 3, 8), 8, 1))
    graph, other, count = equalised(net.model(x, net.conv(x, 8, 4)))
    assert count == 0
    for a, b in zip(graph.nodes, other.nodes, strict=True):
        assert a.inputs == b.inputs


def test_dead_and_constant_channels() -> None:
    net = Net(9)
    weights = net.random.standard_normal((6, 3, 1, 1)).astype(np.float32)
    weights[1] = 0
    bias = np.array([0, 0, 5, -9, 0, 0], np.float32)
    x = net.op("Relu", net.op("Conv", net.input(1, 3, 4, 4), net.constant(weights), net.constant(bias)))
    final = net.random.standard_normal((2, 6, 1, 1)).astype(np.float32)
    final[:, 4] = 0
    _, other, count = equalised(net.model(net.op("Conv", x, net.constant(final))))
    assert count == 2
    assert all(np.isfinite(v.data).all() for v in other.values.values() if v.data is not None)
