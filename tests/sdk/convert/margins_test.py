"""Margins that the compiler gives to images: where, and that they change no bit."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tody import format as tf
from tody._runtime import Runtime
from tody.convert.graph import Graph, Node, Value
from tody.convert.lower import lower
from tody.convert.margins import add_margins

RNG = np.random.default_rng(5)


def conv(
    image: tuple[int, int, int], columns: int, kernel: tuple[int, int], stride: int, dtype: str = "float32", **attrs: object
) -> Graph:
    height, width, depth = image
    pad = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2, kernel[0] // 2, kernel[1] // 2)
    sizes = [(n + kernel[d] - 1 - kernel[d]) // stride + 1 for d, n in enumerate((height, width))]
    weights = RNG.standard_normal((1, columns, kernel[0] * kernel[1], depth)).astype(np.float32)
    values = [
        Value("x", (1, *image), dtype),
        Value("w", weights.shape, data=weights, pack="panels"),
        Value("y", (1, *sizes, columns), dtype),
    ]
    attrs = {"kernel": kernel, "stride": (stride, stride), "pad": pad, **attrs}
    return Graph([Node("conv", ["x", "w"], ["y"], attrs)], {v.name: v for v in values}, ["x"], ["y"])


@pytest.mark.parametrize(
    ("graph", "padded"),
    [
        (conv((49, 10, 1), 64, (10, 4), 2), True),  # half of the windows are at an edge
        (conv((32, 32, 3), 16, (3, 3), 1), True),
        (conv((224, 224, 3), 64, (7, 7), 1), True),
        (conv((224, 224, 3), 64, (7, 7), 2), False),  # goes by phases, which make a margin of their own
        (conv((224, 224, 3), 32, (3, 3), 2), False),  # few are, of a large image
        (conv((14, 14, 256), 64, (3, 3), 2), False),  # a sum so long is cut into slices of its own
        (conv((49, 10, 1), 64, (10, 1), 2), False),  # a line of one tap
        (conv((49, 10, 1), 64, (10, 4), 2, dilation=(1, 2)), False),  # no lines in memory
        (conv((49, 10, 1), 64, (10, 4), 2, "int8"), False),  # for chips, whose memory counts more
    ],
)
def test_margins_where_they_pay(graph: Graph, padded: bool) -> None:
    add_margins(graph)
    assert [node.op for node in graph.nodes] == (["pad", "conv"] if padded else ["conv"])


@pytest.mark.parametrize("kernels", ["portable", None])
def test_a_margin_changes_no_bit(kernels: str | None) -> None:
    results = []
    graph = conv((49, 10, 1), 20, (10, 4), 2)
    x = RNG.standard_normal((1, 49, 10, 1)).astype(np.float32)
    for with_margins in (False, True):
        if with_margins:
            add_margins(graph)
        runtime = Runtime(tf.write(lower(graph)[0]), kernels=kernels)
        np.asarray(runtime.inputs[0])[...] = x
        runtime.run()
        results.append(np.array(runtime.outputs[0]))
    assert len(graph.nodes) == 2
    assert results[0].tobytes() == results[1].tobytes()
