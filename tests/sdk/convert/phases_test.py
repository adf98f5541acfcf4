"""Transposed convolutions that become convolutions: which, and that they compute the same."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tody import format as tf
from tody._runtime import Runtime
from tody.convert import phases
from tody.convert.graph import Graph, Node, Quant, Value
from tody.convert.lower import lower
from tody.convert.phases import split_transposed

RNG = np.random.default_rng(12)


def deconv(
    image: tuple[int, int, int],
    columns: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (2, 2),
    pad: tuple[int, int, int, int] = (0, 0, 0, 0),
    extra: tuple[int, int] = (0, 0),
    dtype: str = "float32",
) -> Graph:
    """A transposed convolution of two images with bias and activation; int8 also with multipliers."""
    sizes = [(image[d] - 1) * stride[d] + kernel[d] - pad[d] - pad[d + 2] + extra[d] for d in (0, 1)]
    shape = (1, columns, kernel[0] * kernel[1], image[2])
    quant = Quant((0.5,), 3) if dtype == "int8" else None
    weights, bias = RNG.standard_normal(shape).astype(np.float32), RNG.standard_normal((1, columns)).astype(np.float32)
    values = [
        Value("x", (2, *image), dtype, quant=quant),
        Value("w", shape, data=weights, pack="panels"),
        Value("b", bias.shape, data=bias, pack="panels"),
        Value("y", (2, *sizes, columns), dtype, quant=quant),
    ]
    inputs: list[str | None] = ["x", "w", "b"]
    attrs: dict[str, object] = {"kernel": kernel, "stride": stride, "dilation": (1, 1), "pad": pad, "groups": 1}
    attrs["activation"] = ("clamp", 0.0, 6.0)
    if quant:
        scales = Quant(tuple(float(n) for n in range(1, columns + 1)))
        values[1] = Value("w", shape, "int8", RNG.integers(-127, 128, shape, np.int8), "panels", scales)
        values[2] = Value("b", bias.shape, "int32", RNG.integers(-9999, 9999, bias.shape, np.int32), "panels")
        values.append(Value("m", bias.shape, data=RNG.uniform(1e-3, 1e-2, bias.shape).astype(np.float32), pack="panels"))
        inputs, attrs["activation"] = [*inputs, "m"], ("clamp", -100.0, 90.0)
    return Graph([Node("deconv", inputs, ["y"], attrs)], {v.name: v for v in values}, ["x"], ["y"])


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes if node.op != "reshape"]


APART = ["conv", "conv", "concat", "conv", "conv", "concat", "concat"]


@pytest.mark.parametrize(
    ("graph", "wanted"),
    [
        (deconv((64, 64, 32), 3, (4, 4), pad=(1, 1, 1, 1)), ["conv", "copy"]),  # one panel of columns holds all phases
        (deconv((32, 32, 64), 32, (4, 4), pad=(1, 1, 1, 1)), APART),  # 2x2 by Winograd's way, each
        (deconv((8, 6, 576), 64, (4, 4), pad=(1, 1, 1, 1)), APART),  # too few pixels for that
        (deconv((64, 64, 32), 16, (2, 2)), ["conv", "conv", "concat"]),  # a line of both columns lies in one place
        (deconv((16, 16, 32), 16, (4, 4), pad=(1, 1, 1, 1), dtype="int8"), ["conv", "conv", "concat"]),
        (deconv((16, 16, 32), 16, (3, 3), pad=(1, 1, 1, 1)), ["deconv"]),  # 31 x 31 pixels of result
        (deconv((16, 16, 16), 16, (3, 3), (1, 1), (1, 1, 1, 1)), ["conv"]),  # one phase, which is a convolution
    ],
)
def test_it_is_split_where_that_pays(graph: Graph, wanted: list[str]) -> None:
    split_transposed(graph)
    assert ops(graph) == wanted


CASES = [
    {"image": (5, 6, 8), "columns": 3, "kernel": (4, 4), "pad": (1, 1, 1, 1)},
    {"image": (5, 6, 8), "columns": 20, "kernel": (2, 2)},
    {"image": (6, 5, 8), "columns": 5, "kernel": (3, 3), "pad": (1, 1, 1, 1), "extra": (1, 1)},
    {"image": (6, 5, 8), "columns": 5, "kernel": (3, 3), "pad": (0, 1, 1, 0)},
    {"image": (1, 9, 8), "columns": 4, "kernel": (1, 16), "stride": (1, 8), "pad": (0, 4, 0, 4)},
    {"image": (5, 5, 4), "columns": 2, "kernel": (5, 4), "stride": (3, 2), "pad": (1, 2, 1, 2)},
    {"image": (5, 6, 4), "columns": 3, "kernel": (3, 2), "stride": (1, 1), "pad": (1, 0, 1, 1)},
    {"image": (5, 5, 4), "columns": 2, "kernel": (2, 1), "stride": (3, 2), "extra": (1, 1)},  # phases without a tap
]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("way", [0, 1, 2])
@pytest.mark.parametrize("case", CASES)
def test_each_way_computes_the_same(case: dict[str, Any], way: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = deconv(**case, dtype=dtype)
    split = graph.copy()
    all_ways = phases._ways
    monkeypatch.setattr(phases, "_ways", lambda sides: all_ways(sides)[way : way + 1])
    monkeypatch.setattr(phases, "_direct", lambda *_: 1 << 60)
    split_transposed(split)
    assert "deconv" not in ops(split)
    x = RNG.standard_normal(graph.values["x"].shape) * (1 if dtype == "float32" else 50)
    results = []
    for each in (graph, split):
        runtime = Runtime(tf.write(lower(each)[0]), kernels="portable")
        np.asarray(runtime.inputs[0])[...] = x.astype(dtype)
        runtime.run()
        results.append(np.array(runtime.outputs[0]))
    assert len(np.unique(results[0])) > 9
    if dtype == "int8":
        np.testing.assert_array_equal(results[1], results[0])
    else:
        np.testing.assert_allclose(results[1], results[0], atol=1e-5)
