"""Where casts go: infinite pads, unequal concatenations, activations that are no clamps, heads, what stays float32."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net

from tody.compress import heads, place
from tody.compress.observe import Probe, Spread, observe
from tody.compress.quantise import Quantised, Settings, quantise
from tody.convert.graph import Graph, Node
from tody.convert.integers import to_integers
from tody.convert.optimise import optimise
from tody.convert.rewrite import slot
from tody.convert.slopes import slopes_behind
from tody.convert.source import read_source


def graph_of(net: Net, *outputs: str) -> Graph:
    graph = read_source(net.model(*outputs)).graph()
    optimise(graph)
    return graph


def inputs(graph: Graph, count: int = 4) -> list[dict[str, np.ndarray]]:
    shapes = {name: graph.values[name].shape for name in graph.inputs}
    randoms = [np.random.default_rng(seed) for seed in range(count)]
    return [{n: r.standard_normal(s).astype(np.float32) for n, s in shapes.items()} for r in randoms]


def quantised(graph: Graph, **settings: object) -> Quantised:
    return quantise(graph, inputs(graph), Settings(effort="fast", **settings))  # type: ignore[arg-type]


def sqnr(a: Graph, b: Graph) -> float:
    sample = inputs(a)[0]
    x, y = (np.concatenate([v.reshape(-1) for v in Probe(g).run(sample).values()]).astype(np.float64) for g in (a, b))
    return float(10 * np.log10(np.sum(x**2) / max(np.sum((x - y) ** 2), 1e-30)))


def test_an_infinite_pad_reaches_no_range() -> None:
    net = Net(1)
    x = net.op("Relu", net.conv(net.input(1, 3, 16, 16), 3, 16, 3))
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    y = net.op("Pad", x, net.constant(pads), net.constant(np.array(-np.inf, np.float32)))
    y = net.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    graph = graph_of(net, net.conv(y, 16, 8, 1))
    exact, made = graph.copy(), quantised(graph)
    assert all(abs(found.low) < 100 and found.high < 100 for found in made.choice.ranges.values())
    integers = made.graph.copy()
    to_integers(integers)
    assert sqnr(exact, integers) > 25


def test_a_concatenation_of_unequal_ranges_requantises_what_others_take_too() -> None:
    net = Net(2)
    x = net.input(1, 3, 16, 16)
    small = net.op("Relu", net.conv(x, 3, 16, 1))
    large = net.op("Mul", net.op("Relu", net.conv(x, 3, 16, 1)), net.number(100))
    joined = net.conv(net.op("Concat", small, large, axis=1), 32, 8, 1)
    graph = graph_of(net, joined, net.conv(small, 16, 8, 1))
    place.prepare(graph)
    roles, spreads = place.decide(graph, {}), observe(graph, inputs(graph))
    choice = place.choose(graph, roles.integer, spreads)
    concat = next(node for node in graph.nodes if node.op == "concat")
    scales = [choice.quants[str(name)].scale for name in concat.inputs]
    assert len(choice.recast) == 1 and max(scales) > 2 * min(scales)
    place.quantise(graph, roles.integer, choice)
    made = {name: graph.values[graph.producer()[str(name)].inputs[0] or ""].quant for name in concat.inputs}
    assert len(set(made.values())) == 1  # of the integers that it joins


def test_activations_that_are_no_clamps_become_tables() -> None:
    net = Net(3)
    x = net.conv(net.input(1, 3, 16, 16), 3, 16, 3)
    graph = graph_of(net, net.conv(net.op("Mul", x, net.op("Sigmoid", x)), 16, 8, 1))
    exact, made = graph.copy(), quantised(graph)
    to_integers(made.graph)
    assert [node.op for node in made.graph.nodes if node.op == "lut"]
    assert sqnr(exact, made.graph) > 25


def test_leaky_relus_stay_in_their_layers() -> None:
    """One rounding is more exact than two. What only float32 takes stays there."""
    net = Net(3)
    x = net.op("LeakyRelu", net.conv(net.input(1, 3, 16, 16), 3, 16, 3), alpha=0.1)
    x = net.op("LeakyRelu", net.conv(x, 16, 16, 3), alpha=1.5)
    x = net.op("LeakyRelu", net.conv(x, 16, 16, 3), alpha=-0.2)
    graph = graph_of(net, net.op("LeakyRelu", net.conv(x, 16, 8, 1), alpha=0.2))
    exact, made = graph.copy(), quantised(graph, goal=-np.inf)
    to_integers(made.graph)
    layers = [slopes_behind(made.graph, node) for node in made.graph.nodes if node.op == "conv"]
    assert [None if s is None else float(s[0]) for s in layers[:3]] == [np.float32(s) for s in (0.1, 1.5, -0.2)]
    assert all(s is None for s in layers[3:])
    assert "lut" not in [n.op for n in made.graph.nodes]
    assert sqnr(exact, made.graph) > 30


def prelu(net: Net, x: str, channels: int) -> str:
    """With slopes as trained ones are: most small, some negative or above 1."""
    return str(net.op("PRelu", x, net.constant(net.random.uniform(-0.3, 1.3, (channels, 1, 1)).astype(np.float32))))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op", ["conv", "dwconv", "deconv"])
def test_prelus_with_several_slopes_stay_in_their_layers(op: str, bits: int) -> None:
    net = Net(3)
    x = prelu(net, net.conv(net.input(1, 3, 16, 16), 3, 16, 3), 16)
    if op == "deconv":
        x = net.op("ConvTranspose", x, net.floats(16, 16, 3, 3), strides=[2, 2])
    else:
        x = net.conv(x, 16, 16, 3, group=16 if op == "dwconv" else 1)
    graph = graph_of(net, net.conv(net.op("Relu", net.conv(prelu(net, x, 16), 16, 16, 1)), 16, 8, 1))
    exact, made = graph.copy(), quantised(graph, goal=-np.inf, activations=bits)
    to_integers(made.graph)
    assert "prelu" not in [n.attrs.get("fn") for n in made.graph.nodes]
    assert slopes_behind(made.graph, [n for n in made.graph.nodes if n.op == op][op == "conv"]) is not None
    assert sqnr(exact, made.graph) > (30 if bits == 8 else 40)


def test_a_prelu_behind_an_addition_is_computed_in_integers() -> None:
    """Behind that of a residual it belongs to the layer; behind one of two that others take, to a convolution of one tap."""
    net = Net(4)
    x = net.conv(net.input(1, 3, 16, 16), 3, 16, 3)
    y = prelu(net, net.op("Add", net.conv(net.op("Relu", x), 16, 16, 3), x), 16)
    z = net.op("Add", x, y)
    graph = graph_of(net, net.conv(prelu(net, z, 16), 16, 8, 1), net.conv(z, 16, 8, 1))
    exact, made = graph.copy(), quantised(graph, goal=-np.inf)
    to_integers(made.graph)
    assert "prelu" not in [n.attrs.get("fn") for n in made.graph.nodes]
    has = [(n.op, slot(n, 3) is not None) for n in made.graph.nodes if slopes_behind(made.graph, n) is not None]
    assert has == [("conv", True), ("dwconv", False)]
    assert sqnr(exact, made.graph) > 30


def test_a_prelu_that_only_float32_takes_stays_there() -> None:
    net = Net(5)
    x = net.op("Relu", net.conv(net.input(1, 3, 16, 16), 3, 16, 3))
    graph = graph_of(net, prelu(net, net.conv(x, 16, 8, 1), 8))
    exact, made = graph.copy(), quantised(graph, goal=-np.inf)
    to_integers(made.graph)
    assert made.graph.nodes[-1].op in ("binary", "copy") and "prelu" in [n.attrs.get("fn") for n in made.graph.nodes]
    assert sqnr(exact, made.graph) > 30


def test_an_addition_does_not_join_a_layer_with_slopes() -> None:
    """It would come before the PReLU."""
    net = Net(6)
    x = net.op("Relu", net.conv(net.input(1, 3, 16, 16), 3, 16, 3))
    y = net.op("Add", prelu(net, net.conv(x, 16, 16, 3), 16), x)
    graph = graph_of(net, net.conv(y, 16, 8, 1))
    exact, made = graph.copy(), quantised(graph, goal=-np.inf)
    to_integers(made.graph)
    assert sqnr(exact, made.graph) > 30
    assert "binary" in [n.op for n in made.graph.nodes]


def test_a_leaky_relu_in_its_layer_is_more_exact_than_a_table() -> None:
    net = Net(8)
    x = net.op("LeakyRelu", net.conv(net.input(1, 3, 16, 16), 3, 16, 3), alpha=0.05)
    graph = graph_of(net, net.conv(x, 16, 8, 1))
    exact, apart = graph.copy(), graph.copy()
    layer = next(node for node in apart.nodes if node.op == "conv")
    place._part(apart, layer, "unary", [], {"function": layer.attrs["activation"]})
    once, twice = (quantised(each, goal=-np.inf).graph for each in (graph, apart))
    assert sqnr(exact, once) > sqnr(exact, twice) + 1


def test_a_model_without_layers_stays_as_it_is() -> None:
    net = Net(4)
    graph = graph_of(net, net.op("Sigmoid", net.op("Add", net.input(1, 8), net.number(2))))
    exact, made = graph.copy(), quantised(graph)
    assert not made.integer and not made.bits and sqnr(exact, made.graph) > 100


def test_kept_layers_stay_float32_and_are_told() -> None:
    net = Net(5)
    graph = graph_of(net, net.conv(net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 8, 3)), 8, 8, 1))
    names = [str(node.outputs[0]) for node in graph.nodes if node.op == "conv"]
    made = quantised(graph, kept={names[0]: "asked for"}, goal=-np.inf)
    assert names[0] not in made.integer and made.reasons[names[0]] == "asked for"


def test_parts_of_a_head_sum_to_what_it_computed() -> None:
    net = Net(6)
    graph = graph_of(net, net.conv(net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 8, 3)), 8, 6, 1))
    exact = graph.copy()
    head = [node for node in graph.nodes if node.op == "conv"][-1]
    seen = observe(graph, inputs(graph))[str(head.outputs[0])]
    low, high = heads._limits(head, seen, heads.FEW + 1)
    fixed = heads._rewrite(graph, head, (low + high) / 2, (high - low) / 2, 4)
    assert len(fixed) == 4 and sqnr(exact, graph) > 100


def test_channels_of_which_little_was_seen_are_kept_as_far_as_all() -> None:
    """128 pictures do not show how far the logit of each of many classes goes."""
    node, seen = Node("dense", ["x", "w"], ["y"]), Spread()
    for scale in (1.0, 2.0):
        seen.add(scale * np.array([[1, -1], [2, -3]], np.float32))
    low, high = heads._limits(node, seen, heads.FEW + 1)
    assert (low < seen.channel_low).all() and (high > seen.channel_high).all() and low[0] > low[1] and high[0] > high[1]
    few_low, few_high = heads._limits(node, seen, heads.FEW)
    assert (few_low <= low.min()).all() and (few_high >= high.max()).all()
    for scale in (1e-3,) * 60:
        seen.add(scale * np.ones((1, 2), np.float32))
    assert heads._limits(node, seen, heads.FEW)[1].min() > 4 > heads._limits(node, seen, heads.FEW + 1)[1].max()


def test_only_the_last_layers_are_taken_apart() -> None:
    """In front of a softmax, a layer gets parts where nothing follows, and none where most of the work does."""
    net = Net(7)
    x = net.conv(net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 8, 3)), 8, 6, 1)
    y = net.op("Softmax", x, axis=1)
    assert len(quantised(graph_of(net, y)).heads) == 1
    wide = net.conv(net.op("Relu", net.conv(y, 6, 32, 3)), 32, 6, 3)
    graph = graph_of(net, wide)
    taken = {graph.nodes[head.at].source for head in quantised(graph).heads}
    assert taken.isdisjoint(node.source for node in graph.nodes[:-1])
