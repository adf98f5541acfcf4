"""Pruning: what leaves is exactly what the operators tie together, and what is left makes up for it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import passes
import pytest
import zoo
from net import Net
from numpy.typing import NDArray

from tody.compress.prune import Pruning, prune
from tody.compress.sparsity import sparsify
from tody.compress.statistics import inlets
from tody.compress.work import Work
from tody.convert.graph import Graph
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.convert.removal import remove
from tody.convert.report import macs
from tody.convert.rewrite import add_constant
from tody.convert.ties import MAKERS, Channels
from tody.errors import UsageError

Array = NDArray[Any]
# Residual additions, depthwise, squeeze and excitation, concat, channel shuffle, upsampling, splits, deconvolutions.
NETS = [
    "mobilenet_v2", "mobilenet_v3_small", "resnet50", "squeezenet_1_1", "shufflenet", "yolov8n_320", "style_256", "centerface",
]  # fmt: skip


def graph_of(model: Any) -> Graph:
    graph = import_onnx(model)
    optimise(graph)
    return graph


def inputs(graph: Graph, count: int = 4) -> list[dict[str, Array]]:
    """Smooth pictures: channels that are related, as those of real ones are."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(count):
        sample = {}
        for name in graph.inputs:
            shape = graph.values[name].shape
            steps = [random.standard_normal([n if d == axis else 1 for d, n in enumerate(shape)]) for axis in range(len(shape))]
            sample[name] = sum(steps).astype(np.float32)  # type: ignore[union-attr]
        found.append(sample)
    return found


def silenced(graph: Graph, channels: Channels, gone: Array) -> Graph:
    """The graph with zero weights wherever a layer takes a channel that has left: what pruning must be equal to."""
    found = graph.copy()
    for node in found.nodes:
        of = channels.last(node.inputs[0]) if node.op in MAKERS else None
        if of is not None:
            data = found.values[node.inputs[1] or ""].data
            assert data is not None
            data = data.copy()
            for group, mask in zip(data, np.isin(of, gone).reshape(len(data), -1), strict=True):
                group[..., mask] = 0
            node.inputs[1] = add_constant(found, "silenced", data, "panels")
    return found


def some_channels(channels: Channels, share: float) -> Array:
    """Channels picked at random, but never all of a value's."""
    work, random = Work(channels, "macs"), np.random.default_rng(2)
    every = np.unique(channels.roots(np.arange(10**6)[: max(int(of.max()) for of in channels.made.values()) + 1]))
    gone: list[int] = []
    for channel in random.permutation(every[every > 0])[: int(share * len(every))].tolist():
        if work.saved([channel]) > 0:
            work.take([channel])
            gone.append(channel)
    return np.array(gone)


@pytest.mark.parametrize("name", NETS)
def test_a_pruned_graph_computes_what_is_left(name: str) -> None:
    graph = graph_of(getattr(zoo, name)())
    channels = Channels(graph)
    gone = some_channels(channels, 0.4)
    smaller = remove(channels, gone)
    assert len(gone) > 3 and macs(smaller) < macs(graph)
    feeds = passes.feeds(graph)
    for a, b in zip(passes.run(silenced(graph, channels, gone), *feeds), passes.run(smaller, *feeds), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5 * float(np.abs(a).max()))


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "shufflenet"])
@pytest.mark.parametrize("count", ["macs", "parameters"])
def test_as_much_goes_as_was_asked_for(name: str, count: str) -> None:
    graph = graph_of(getattr(zoo, name)())
    before = graph.copy()
    report = prune(graph, 0.4, inputs(graph), count=count)
    assert 0.4 <= report.fraction < 0.55
    assert report.after == Work(Channels(graph), count).total()
    if count == "macs":
        assert (report.before, report.after) == (macs(before), macs(graph))
    assert [graph.values[n].shape for n in graph.outputs] == [before.values[n].shape for n in before.outputs]
    assert list(report.kept.values()) == ["it is an output of the model"]


def noise(graph: Graph, other: Graph, samples: list[dict[str, Array]]) -> float:
    """Power of the difference over power of the outputs."""
    wrong = whole = 0.0
    for sample in samples:
        for a, b in zip(passes.run(graph, *sample.values()), passes.run(other, *sample.values()), strict=True):
            wrong, whole = wrong + float(np.square(a - b).sum()), whole + float(np.square(a).sum())
    return wrong / whole


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "squeezenet_1_1"])
def test_what_stays_makes_up_for_what_goes(name: str) -> None:
    graph = graph_of(getattr(zoo, name)())
    samples = inputs(graph, 12)
    found = []
    for reconstruct in (True, False):
        smaller = graph.copy()
        prune(smaller, 0.3, samples[:8], reconstruct=reconstruct)
        found.append(noise(graph, smaller, samples[8:]))  # on others than it was fitted to
    assert found[0] < 0.5 * found[1]


def test_a_channel_that_another_repeats_goes_first_and_is_not_missed() -> None:
    net = Net(3)
    weights = net.random.standard_normal((16, 3, 3, 3)).astype(np.float32)
    weights[8:] = 2 * weights[:8]  # every channel twice, in two sizes
    x = net.op("Relu", net.op("Conv", net.input(1, 3, 16, 16), net.constant(weights), pads=[1] * 4))
    graph = graph_of(net.model(net.conv(x, 16, 8, 3)))
    smaller = graph.copy()
    report = prune(smaller, 0.45, inputs(graph))
    assert list(report.layers.values()) == [(16, 8)]
    assert noise(graph, smaller, inputs(graph)) < 1e-3


def test_equal_arguments_prune_alike() -> None:
    graph = graph_of(zoo.mobilenet_v2())
    found = [graph.copy(), graph.copy()]
    reports = [prune(each, 0.5, inputs(graph)) for each in found]
    assert reports[0] == reports[1]
    for a, b in zip(found[0].values.values(), found[1].values.values(), strict=True):
        assert a.shape == b.shape and (a.data is None or np.array_equal(a.data, b.data))


def test_dead_channels_and_one_sample_are_no_trouble() -> None:
    net = Net(4)
    dead = net.constant(np.zeros((16, 3, 1, 1), np.float32))
    x = net.op("Relu", net.op("Conv", net.input(1, 3, 8, 8), dead))
    graph = graph_of(net.model(net.conv(x, 16, 8, 3)))
    prune(graph, 0.3, inputs(graph, 1))
    assert all(np.isfinite(v.data).all() for v in graph.values.values() if v.data is not None)


def test_nothing_goes_when_nothing_is_asked() -> None:
    graph = graph_of(zoo.resnet18())
    report = prune(graph, 0.0)
    assert report == Pruning("macs", macs(graph), macs(graph), {}, report.kept)


@pytest.mark.parametrize("fraction", [-0.1, 0.95, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="can go"):
        prune(graph_of(zoo.resnet18()), fraction)


def test_sensitive_layers_keep_more() -> None:
    """Two equal branches, one of which the output hardly sees: that one loses its channels."""
    net = Net(7)
    x = net.input(1, 3, 16, 16)
    branches = []
    for scale in (1.0, 0.01):
        y = net.op("Relu", net.conv(x, 3, 32, 3))
        branches.append(net.op("Mul", net.conv(y, 32, 8, 3), net.number(scale)))
    graph = graph_of(net.model(net.op("Add", *branches)))
    makers = [
        node.outputs[0] for node in graph.nodes if node.op == "conv" and graph.values[node.outputs[0] or ""].shape[-1] == 32
    ]
    report = prune(graph, 0.3, inputs(graph))
    assert list(report.layers) == [makers[1]]
    assert report.sensitivity[makers[0] or ""] > 100 * report.sensitivity[makers[1] or ""]


def test_a_model_without_removable_channels_says_so() -> None:
    graph = graph_of(zoo.lstm())
    with pytest.raises(UsageError, match=r"at most 0% can go\n.*no channels that can go"):
        prune(graph, 0.3)


def test_eliminating_channels_costs_what_the_least_squares_leave() -> None:
    """The cost of one removal is the exact error of the best stand-in, as numpy.linalg.lstsq finds it."""
    graph = graph_of(zoo.squeezenet_1_1())
    samples = inputs(graph)
    found = [inlet for inlet in inlets(Channels(graph), samples) if inlet.weight.shape[0] == 1]
    inlet = max(found, key=lambda inlet: inlet.weight.shape[1])
    power, weight = inlet.power[0], inlet.weight[0]
    root = np.linalg.cholesky(power + inlet.ridge * np.trace(power) / len(power) * np.eye(len(power))).T
    costs = inlet.elimination().costs(inlet.of)
    for i in range(0, len(weight), 5):
        others = np.delete(root, i, 1)
        left = root[:, i] - others @ np.linalg.lstsq(others, root[:, i], rcond=None)[0]
        same = np.flatnonzero(inlet.of == inlet.of[i])
        if len(same) == 1:
            np.testing.assert_allclose(costs[i], weight[i] * (left @ left) / (weight @ np.diag(power)), rtol=1e-6)


@pytest.mark.parametrize("depth", [3, 4, 10, 16])
def test_sparsity_takes_whole_blocks_of_the_weakest(depth: int) -> None:
    weights = np.random.default_rng(1).standard_normal((2, 8, 3, depth)).astype(np.float32)
    mask = sparsify(weights, 0.5)
    wide = [(0, 0)] * 3 + [(0, -depth % 4)]
    blocks = np.pad(mask, wide, mode="edge").reshape(2, 8, 3, -1, 4)
    strength = np.square(np.pad(weights.astype(np.float64), wide)).reshape(blocks.shape).sum(-1)
    stays = blocks.all(-1)
    assert (stays | ~blocks.any(-1)).all() and stays.mean() == 0.5
    assert strength[stays].min() > strength[~stays].max()


def test_sparsity_out_of_bounds_is_refused() -> None:
    with pytest.raises(UsageError):
        sparsify(np.zeros((1, 4, 1, 4), np.float32), 1.0)
