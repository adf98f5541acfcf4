"""The PyTorch module of a graph computes what the runtime does, operator by operator, and so does its fake quantisation."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the extra [train] is not installed: pip install torch")

import passes  # noqa: E402
import zoo  # noqa: E402
from net import Net  # noqa: E402
from run_torch import outputs_of, quiet  # noqa: E402, F401

from tody import format as fmt  # noqa: E402
from tody import train  # noqa: E402
from tody.compress.train.fake import Quantiser, round_bias  # noqa: E402
from tody.convert.graph import Graph, Node, Quant, Value  # noqa: E402
from tody.convert.onnx import import_onnx  # noqa: E402
from tody.convert.optimise import optimise  # noqa: E402
from tody.errors import UnsupportedError  # noqa: E402

Array = NDArray[Any]
nn = torch.nn


def graph_of(model: Any) -> Graph:
    graph = import_onnx(model)
    optimise(graph)
    return graph


NETS = [
    "mobilenet_v1", "mobilenet_v3_small", "efficientnet_lite0", "resnet18", "resnet50", "ic_resnet8", "squeezenet_1_1",
    "kws_dscnn", "ssdlite_mbv2_300", "yolov8n_320", "vit_tiny", "style_256", "shufflenet", "centerface",
]  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_the_module_computes_what_the_runtime_does(name: str) -> None:
    graph = graph_of(getattr(zoo, name)())
    feeds = passes.feeds(graph)
    module = train.Executor(graph)
    for a, b in zip(passes.run(graph, *feeds), outputs_of(module, feeds), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet", "ssdlite_mbv2_300"])
def test_a_batch_is_its_samples(name: str) -> None:
    module = train.Executor(graph_of(getattr(zoo, name)()))
    feeds = [np.concatenate([(i + 1) * x for i in range(3)]) for x in passes.feeds(module.graph)]
    for whole, *parts in zip(outputs_of(module, feeds), *(outputs_of(module, [x[i : i + 1] for x in feeds]) for i in range(3))):
        np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-4, atol=1e-5 * float(np.abs(whole).max()))


def test_gradients_reach_every_parameter() -> None:
    module = train.Executor(graph_of(zoo.mobilenet_v3_small()))
    module(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    assert sum(float(p.grad.abs().sum()) > 0 for p in module.parameters()) > 0.9 * len(list(module.parameters()))


def test_operators_without_gradient_are_named() -> None:
    with pytest.raises(UnsupportedError) as e:
        train.Executor(graph_of(zoo.lstm()))
    assert [node["operator"] for node in e.value.nodes] == ["lstm"]


OPS: dict[str, Any] = {
    "deconv": lambda n, x: n.op(
        "ConvTranspose", x, n.floats(4, 3, 3, 3), strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 1]
    ),
    "dilated": lambda n, x: n.op("Conv", x, n.floats(4, 4, 3, 3), dilations=[2, 2], pads=[2, 1, 0, 2]),
    "average": lambda n, x: n.op("AveragePool", x, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 0, 1], ceil_mode=1),
    "average with pads": lambda n, x: n.op("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "maximum": lambda n, x: n.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    "resize": lambda n, x: n.op("Resize", x, "", n.constant(np.float32([1, 1, 2, 1.5])), mode="linear"),
    "reflect": lambda n, x: n.op("Pad", x, n.constant(np.array([0, 0, 2, 1, 0, 0, 3, 2])), mode="reflect"),
    "slice": lambda n, x: n.op("Slice", x, *(n.constant(np.array([v])) for v in (7, -9, 3, -2))),
    "instance norm": lambda n, x: n.op("InstanceNormalization", x, n.floats(4), n.floats(4)),
    "layer norm": lambda n, x: n.op("LayerNormalization", x, n.floats(8), n.floats(8)),
    "prelu": lambda n, x: n.op("PRelu", x, n.floats(4, 1, 1)),
    "variance": lambda n, x: n.op("ReduceProd", n.op("ReduceMax", x, axes=[2]), axes=[3]),
    "sum": lambda n, x: n.op("CumSum", x, n.constant(np.array(2)), exclusive=1, reverse=1),
    "top": lambda n, x: n.op("TopK", x, n.constant(np.array([3])), axis=2, outputs=2)[0],
    "gather": lambda n, x: n.op("Gather", x, n.constant(np.array([3, 0, 0])), axis=1),
    "where": lambda n, x: n.op("Where", n.op("Less", x, n.number(0)), n.op("Exp", x), n.op("Erf", x)),
    "arg": lambda n, x: n.op("Mul", n.op("Cast", n.op("ArgMax", x, axis=1, select_last_index=1), to=1), n.number(0.5)),
}


@pytest.mark.parametrize("name", OPS)
def test_operators_one_by_one(name: str) -> None:
    net = Net(6)
    graph = import_onnx(net.model(OPS[name](net, net.input(1, 4, 9, 8))))
    feeds = passes.feeds(graph)
    for a, b in zip(passes.run(graph, *feeds), outputs_of(train.Executor(graph), feeds), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()))


FUNCTIONS = [f for f in fmt.FUNCTIONS if f not in ("not", "is_nan", "is_inf", "none")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_one_by_one(name: str) -> None:
    y = Value("y", (1, 200))
    graph = Graph(
        [Node("unary", ["x"], ["y"], {"function": (name, 0.4, 1.5)})], {"x": Value("x", (1, 200)), "y": y}, ["x"], ["y"]
    )
    low = {"log": 0.01, "sqrt": 0, "acosh": 1}.get(name, -1 if name in ("asin", "acos", "atanh") else -6)
    high = 1 if name in ("asin", "acos", "atanh") else 6
    feeds = [np.linspace(low, high, 202, dtype=np.float32)[None, 1:-1]]
    (a,), (b,) = passes.run(graph, *feeds), outputs_of(train.Executor(graph), feeds)
    np.testing.assert_allclose(b, a, rtol=3e-5, atol=3e-6)


def test_fake_quantisation_is_the_cast_of_the_format() -> None:
    random = np.random.default_rng(4)
    for scale, zero in ((0.037, -12), (1.0, 0), (3e-5, 127), (2.5, -128)):
        quant = Quant((float(np.float32(scale)),), zero)
        halves = (np.arange(-300, 300) + 0.5) * quant.scales[0]
        x = np.concatenate([random.standard_normal(4000) * scale * 60, halves, [0, 1e30, -1e30]]).astype(np.float32)
        quantiser = Quantiser(quant)
        with torch.no_grad():
            integers, real = quantiser.integers(torch.from_numpy(x)).numpy(), quantiser(torch.from_numpy(x)).numpy()
        assert np.array_equal(integers, quant.quantise(x))
        assert np.array_equal(real, np.float32(quant.scales[0]) * (integers.astype(np.float32) - zero))


def test_gradients_of_fake_quantisation() -> None:
    """Straight through where nothing is cut off; of the scale as learned step size quantisation has it."""
    quantiser = Quantiser(Quant((0.5,), 10))
    x = torch.tensor([0.3, -0.8, 100.0, -100.0], requires_grad=True)
    quantiser(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0]
    share = (1 / (4 * 138)) ** 0.5
    want = ((1 - 0.6) + (-2 + 1.6) + 117 - 138) * 0.5 * share  # the parameter is the logarithm of the scale
    assert float(quantiser.log_scale.grad) == pytest.approx(want, rel=1e-5)


def test_biases_are_whole_steps() -> None:
    bias, scale = torch.randn(50, requires_grad=True), torch.rand(50) * 1e-3 + 1e-4
    rounded = round_bias(bias, scale)
    steps = (rounded / scale).detach()
    np.testing.assert_allclose(steps, steps.round(), atol=2e-3)
    rounded.sum().backward()
    assert (bias.grad == 1).all()
