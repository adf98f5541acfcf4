"""Channels that do nothing: they leave, and no byte of the results changes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import passes
import pytest
from net import Net

from tody.convert import check, convert
from tody.convert.graph import Graph, Node, Quant, Value
from tody.convert.idle import UNIT, drop_idle_channels
from tody.convert.integers import to_integers
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.convert.rewrite import first_output

MADE, IDLE, LEFT = 24, 10, 16  # channels; those that are not idle, up to a whole unit


def conv(net: Net, x: str, taken: int, made: int = MADE, kernel: int = 1, *, bias: float = -1.0, **more: Any) -> str:
    """A convolution whose first IDLE output channels have this bias and no weights; `unused`: inputs without weights, too."""
    unused, group = more.pop("unused", 0), more.get("group", 1)
    weights = net.random.standard_normal((made, taken // group, kernel, kernel)).astype(np.float32)
    start = net.random.uniform(0.1, 0.5, made).astype(np.float32)
    weights[:IDLE], start[:IDLE] = 0, bias
    weights[:, :unused] = 0
    attrs: dict[str, Any] = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, **more}
    return str(net.op("Conv", x, net.constant(weights), net.constant(start), **attrs))


def quantised(net: Net, *outputs: str) -> Graph:
    graph = import_onnx(net.model(*outputs))
    optimise(graph)
    passes.quantise(graph, passes.feeds(graph))
    to_integers(graph)
    return graph


def widths(net: Net, *outputs: str) -> list[int]:
    """Channels that layers make once idle ones are gone, after proof that all bytes are the same."""
    graph = quantised(net, *outputs)
    small = graph.copy()
    drop_idle_channels(small)
    for seed in range(3):
        arrays = passes.feeds(graph, seed)
        for a, b in zip(passes.run(graph, *arrays), passes.run(small, *arrays), strict=True):
            assert len(np.unique(a)) > 8, "a test of outputs that never change proves nothing"
            np.testing.assert_array_equal(a, b)
    layers = [node for node in small.nodes if node.op in ("conv", "dwconv", "deconv", "dense")]
    return [small.values[first_output(node)].shape[-1] for node in layers]


def start(net: Net) -> str:
    return net.input(1, 8, 9, 9)


def test_check_counts_what_convert_leaves() -> None:
    pytest.importorskip("onnxruntime")
    from quantised import quantise

    net = Net(seed=1)
    x = net.op("Relu", conv(net, start(net), 8))
    model = quantise(net.model(conv(net, x, MADE)))
    said, made = check(model), convert(model)
    assert (said.macs, said.weight_bytes) == (made.macs, made.weight_bytes) and said.macs < 9 * 9 * (8 * MADE + MADE * MADE)


def test_zeros_leave_through_padded_windows() -> None:
    net = Net(seed=1)
    x = net.op("Relu", conv(net, start(net), 8))
    x = net.op("Relu", net.conv(x, MADE, MADE, 3, group=MADE))
    assert widths(net, net.conv(x, MADE, 12, 3)) == [LEFT, LEFT, 12]


def test_other_constants_go_into_biases_where_nothing_is_padded() -> None:
    net = Net(seed=2)
    x = net.op("Relu", conv(net, start(net), 8, bias=0.75))
    assert widths(net, net.conv(x, MADE, 12)) == [LEFT, 12]
    net = Net(seed=2)
    x = net.op("Relu", conv(net, start(net), 8, bias=0.75))
    assert widths(net, net.conv(x, MADE, 12, 3)) == [MADE, 12]


def test_what_a_leaky_relu_makes_of_a_constant_does_too() -> None:
    net = Net(seed=2)
    x = net.op("LeakyRelu", conv(net, start(net), 8, bias=-0.75), alpha=0.2)
    assert widths(net, net.conv(x, MADE, 12)) == [LEFT, 12]


@pytest.mark.parametrize("slope", [0.3, -0.4, 1.5])
def test_what_a_prelu_makes_of_a_constant_does_too(slope: float) -> None:
    net = Net(seed=2)
    slopes = np.linspace(slope, slope + 0.1, MADE, dtype=np.float32).reshape(MADE, 1, 1)
    x = net.op("PRelu", conv(net, start(net), 8, bias=-0.75), net.constant(slopes))
    assert widths(net, net.conv(x, MADE, 12)) == [LEFT, LEFT, 12]


def test_a_layer_without_bias_gets_one() -> None:
    net = Net(seed=3)
    x = net.op("Relu", conv(net, start(net), 8, bias=0.75))
    assert widths(net, net.conv(x, MADE, 12, bias=False)) == [LEFT, 12]


def test_what_no_weight_takes_is_not_computed() -> None:
    net = Net(seed=4)
    x = net.op("Relu", net.conv(start(net), 8, MADE, 3))
    x = net.op("Relu", net.conv(x, MADE, MADE, 3, group=MADE))
    assert widths(net, conv(net, x, MADE, unused=IDLE)) == [LEFT, LEFT, MADE]


def test_through_functions_pools_and_dense_layers() -> None:
    net = Net(seed=5)
    x = net.op("MaxPool", conv(net, start(net), 8, bias=0.5), kernel_shape=[3, 3])
    x = net.op("AveragePool", net.op("HardSwish", x), kernel_shape=[2, 2])
    x = net.op("Relu", net.conv(x, MADE, MADE, 1, group=MADE))
    assert widths(net, net.dense(net.flat(x), MADE, 32)) == [LEFT, LEFT, 32]


def test_operands_of_an_addition_lose_channels_together() -> None:
    net = Net(seed=6)
    x = net.op("Relu", conv(net, start(net), 8))
    y = net.op("Add", x, net.op("Relu", conv(net, x, MADE)))
    assert widths(net, conv(net, y, MADE, unused=IDLE)) == [LEFT, LEFT, MADE]
    net = Net(seed=6)
    x = net.op("Relu", conv(net, start(net), 8))
    y = net.op("Add", x, net.op("Relu", net.conv(x, MADE, MADE)))
    assert widths(net, net.conv(y, MADE, 12)) == [MADE, MADE, 12]


def test_groups_and_transposed_convolutions() -> None:
    net = Net(seed=7)
    x = net.op("Relu", conv(net, start(net), 8, bias=0.0))
    x = net.op("ConvTranspose", x, net.floats(MADE, 16, 3, 3, scale=0.1), kernel_shape=[3, 3], pads=[1] * 4)
    assert widths(net, net.conv(x, 16, 12, 3, group=2)) == [LEFT, 16, 12]


def test_a_layer_keeps_channels_even_if_all_are_idle() -> None:
    net = Net(seed=8)
    x = start(net)
    all_idle = net.op("Relu", conv(net, x, 8, IDLE))
    y = net.op("Concat", net.op("Relu", net.conv(x, 8, 16)), all_idle, axis=1)
    assert widths(net, net.conv(y, 16 + IDLE, 12)) == [UNIT, 16, 12]


def test_outputs_keep_their_shape() -> None:
    net = Net(seed=9)
    assert widths(net, conv(net, start(net), 8, bias=0.5)) == [MADE]


def test_sums_that_wrap_are_not_taken_for_constant() -> None:
    quant, unit, shape = Quant((1.0,)), Quant((1.0,) * UNIT), (1, UNIT)
    window = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0), "groups": 1}
    values = [Value(name, (1, 3, 1, UNIT), "int8", quant=quant) for name in "xyz"]
    values += [Value("w", (1, UNIT, 1, UNIT), "int8", np.full((1, UNIT, 1, UNIT), 100, np.int8), "panels", unit)]
    values += [Value("b", shape, "int32", np.full(shape, 100 - 2**31, np.int32), "panels")]
    values += [Value("m", shape, "float32", np.full(shape, 1e-3, np.float32), "panels")]
    layers = [Node("conv", ["x", "w", "b", None, "m"], ["y"], window), Node("conv", ["y", "w", None, None, "m"], ["z"], window)]
    graph = Graph(layers, {value.name: value for value in values}, ["x"], ["z"])
    small, x = graph.copy(), np.repeat(np.array([-128, 0, 127], np.int8), UNIT).reshape(1, 3, 1, UNIT)
    drop_idle_channels(small)
    (made,) = passes.run(graph, x)
    assert len(np.unique(made)) == 2, "sums do not wrap"
    np.testing.assert_array_equal(passes.run(small, x)[0], made)


def test_float32_is_left_alone() -> None:
    net = Net(seed=10)
    graph = import_onnx(net.model(net.conv(net.op("Relu", conv(net, start(net), 8)), MADE, 12)))
    optimise(graph)
    before = dict(graph.values)
    drop_idle_channels(graph)
    assert graph.values == before
