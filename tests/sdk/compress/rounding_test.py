"""Quantising the weights of whole graphs: the output gets closer, shared weights stay shared, biases fit."""

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
from tody.compress.observe import Probe, observe
from tody.compress.quantise import Settings, _bits
from tody.compress.rounding import quantise_weights
from tody.convert.graph import Graph
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.convert.rewrite import first_output

Sample = dict[str, NDArray[Any]]


def placed(model: Any, count: int = 6) -> tuple[Graph, Graph, list[Sample], list[str]]:
    """The float graph, the same with casts around its activations, samples, and the layers."""
    graph = import_onnx(model)
    optimise(graph)
    place.prepare(graph)
    values = [graph.values[name] for name in graph.inputs]
    samples = [{v.name: golden.splitmix64(seed, v.shape, -2.0, 2.0, v.dtype) for v in values} for seed in range(1, count + 1)]
    reference, spreads = graph.copy(), observe(graph, samples)
    integer = place.decide(graph, {}).integer
    layers = [first_output(node) for node in place.linear_nodes(graph, integer)]
    place.quantise(graph, integer, place.choose(graph, integer, spreads))
    return reference, graph, samples, layers


def noise(reference: Graph, graph: Graph, samples: list[Sample]) -> float:
    """Mean square of what the outputs differ by, as a part of their own."""
    probes = Probe(reference), Probe(graph)
    wanted, found = (np.concatenate([y.reshape(-1) for s in samples for y in p.run(s).values()]) for p in probes)
    return float(np.square(wanted - found).mean() / np.square(wanted).mean())


def quantised(graph: Graph) -> list[Any]:
    return [v for v in graph.values.values() if v.data is not None and v.dtype == "int8" and v.quant is not None]


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v3_small", "resnet18", "centerface"])
def test_rounding_by_samples_brings_outputs_closer(name: str) -> None:
    reference, graph, samples, layers = placed(getattr(zoo, name)(), 16)
    nearest, better = graph.copy(), graph.copy()
    bits = dict.fromkeys(layers, 4)
    quantise_weights(nearest, reference, [], bits)
    quantise_weights(better, reference, samples[:8], bits, stages=3)
    assert noise(reference, better, samples[8:]) < 0.7 * noise(reference, nearest, samples[8:])


def test_weights_are_int8_constants_with_a_cast() -> None:
    reference, graph, samples, layers = placed(zoo.mobilenet_v1(), 3)
    seen = []
    bits = {name: (8, 4, 2)[i % 3] for i, name in enumerate(layers)}
    quantise_weights(graph, reference, samples, bits, stages=2, progress=lambda done, total: seen.append((done, total)))
    makers = graph.producer()
    for node in graph.nodes:
        if first_output(node) not in bits:
            continue
        cast = makers[node.inputs[1] or ""]
        value = graph.values[cast.inputs[0] or ""]
        own = graph.values[node.inputs[1] or ""]
        outputs = own.shape[1] if node.op == "dwconv" else own.shape[0] * own.shape[1]
        assert cast.op == "cast" and value.shape == own.shape and value.pack == own.pack
        assert value.data is not None and value.data.dtype == np.int8 and value.data.min() >= -127
        assert value.quant is not None and len(value.quant.scales) == outputs and value.quant.zero_point == 0
        assert len(np.unique(value.data)) <= 2 ** bits[first_output(node)]
    assert seen == [(i, 6) for i in range(1, 7)]


def test_is_deterministic() -> None:
    reference, graph, samples, layers = placed(zoo.mobilenet_v2(), 3)
    other = graph.copy()
    for each in (graph, other):
        quantise_weights(each, reference, samples, dict.fromkeys(layers, 4), stages=2)
    for a, b in zip(quantised(graph), quantised(other), strict=True):
        assert np.array_equal(a.data, b.data) and a.quant == b.quant


def test_stages_correct_an_error_once() -> None:
    """Many layers that all see the same drift do not all take it back: the result is no worse than plain rounding."""
    net = Net(3)
    x = net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 8, 3))
    for _ in range(8):
        x = net.op("Add", x, net.op("Relu", net.conv(x, 8, 8, 3)))
    reference, graph, samples, layers = placed(net.model(x))
    plain, once, often = graph.copy(), graph.copy(), graph.copy()
    bits = dict.fromkeys(layers, 8)
    quantise_weights(plain, reference, [], bits)
    quantise_weights(once, reference, samples, bits, stages=1)
    quantise_weights(often, reference, samples, bits, stages=100)
    worst = 1.3 * noise(reference, plain, samples)
    assert noise(reference, once, samples) < worst
    assert noise(reference, often, samples) < worst


def test_shared_weights_stay_shared() -> None:
    net = Net(4)
    weights, bias = net.floats(8, 8, 3, 3, scale=0.15), net.floats(8, scale=0.1)
    x = net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 8))
    y = net.op("Relu", net.op("Conv", x, weights, bias, pads=[1] * 4))
    z = net.op("Conv", y, weights, bias, pads=[1] * 4)
    reference, graph, samples, layers = placed(net.model(z))
    quantise_weights(graph, reference, samples, dict.fromkeys(layers, 8))
    assert len(layers) == 3 and len(quantised(graph)) == 2
    assert noise(reference, graph, samples) < 1e-2


def test_dead_outputs_and_large_biases() -> None:
    """A bias divided by input step times weight step fits into int32, whatever the weights are."""
    net = Net(5)
    weights = net.random.standard_normal((4, 3, 1, 1)).astype(np.float32)
    weights[0], weights[1] = 0, 1e-12
    bias = np.array([3, -70, 0, 1e-3], np.float32)
    x = net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 3))
    y = net.op("Conv", x, net.constant(weights), net.constant(bias))
    reference, graph, samples, layers = placed(net.model(net.conv(y, 4, 2)), 1)
    quantise_weights(graph, reference, samples, dict.fromkeys(layers, 8))
    makers = graph.producer()
    for node in graph.nodes:
        if node.op == "conv":
            value = graph.values[node.inputs[2] or ""].data
            w = graph.values[makers[node.inputs[1] or ""].inputs[0] or ""].quant
            a = graph.values[makers[node.inputs[0] or ""].inputs[0] or ""].quant
            assert value is not None and w is not None and a is not None
            assert (np.abs(value.reshape(-1)) / (np.array(w.scales) * a.scales[0]) < 2**31).all()
    assert noise(reference, graph, samples) < 1e-2


def test_small_and_depthwise_layers_keep_more_bits() -> None:
    net = Net(6)
    x = net.op("Relu", net.conv(net.input(1, 3, 8, 8), 3, 4, 3))
    x = net.op("Relu", net.conv(net.op("Relu", net.conv(x, 4, 48, 3)), 48, 48, 3, group=48))
    reference = placed(net.model(net.conv(x, 48, 48, 3)), 1)[0]
    layers = [node for node in reference.nodes if node.op in place.LINEAR]
    bits = _bits(reference, layers, Settings(bits=4))
    small, large, depthwise = (bits[first_output(layers[i])] for i in (0, 1, 2))
    assert layers[2].op == "dwconv" and (small, large, depthwise) == (8, 4, 8)
    wide = _bits(reference, layers, Settings(bits=7, activations=16))
    assert [wide[first_output(node)] for node in layers] == [12, 9, 12, 7], "108, 1728, 432 and 20736 weights"
    assert _bits(reference, layers, Settings(bits=4, wanted={first_output(layers[0]): 3}))[first_output(layers[0])] == 3
