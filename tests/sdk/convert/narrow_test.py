"""Convolutions with few outputs whose taps become columns of the product: which, and that they compute the same."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tody import format as tf
from tody._runtime import Runtime
from tody.convert.graph import Graph, Node, Value
from tody.convert.lower import lower
from tody.convert.narrow import widen

RNG = np.random.default_rng(9)
NO_PAD = (0, 0, 0, 0)


def conv(
    image: tuple[int, int, int],
    columns: int,
    kernel: tuple[int, int],
    pad: tuple[int, int, int, int] = NO_PAD,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    dtype: str = "float32",
) -> Graph:
    """A convolution with bias, addend and activation."""
    padded = [n + pad[d] + pad[d + 2] - (kernel[d] - 1) * dilation[d] - 1 for d, n in enumerate(image[:2])]
    sizes = [n // stride[d] + 1 for d, n in enumerate(padded)]
    weights = RNG.standard_normal((1, columns, kernel[0] * kernel[1], image[2])).astype(np.float32)
    bias = RNG.standard_normal((1, columns)).astype(np.float32)
    values = [
        Value("x", (2, *image), dtype),
        Value("w", weights.shape, data=weights, pack="panels"),
        Value("b", bias.shape, data=bias, pack="panels"),
        Value("a", (2, *sizes, columns), dtype),
        Value("y", (2, *sizes, columns), dtype),
    ]
    attrs: dict[str, object] = {"kernel": kernel, "stride": stride, "dilation": dilation, "pad": pad, "groups": 1}
    attrs["activation"] = ("clamp", 0.0, 6.0)
    return Graph([Node("conv", ["x", "w", "b", "a"], ["y"], attrs)], {v.name: v for v in values}, ["x", "a"], ["y"])


@pytest.mark.parametrize(
    ("graph", "wide"),
    [
        (conv((64, 64, 32), 3, (9, 9)), True),
        (conv((64, 64, 32), 1, (5, 5), (2, 2, 2, 2)), True),
        (conv((64, 64, 32), 2, (3, 3), stride=(2, 1)), True),
        (conv((64, 64, 32), 16, (9, 9)), False),  # the columns are all taken
        (conv((64, 64, 16), 3, (9, 9)), False),  # what lies between would take more memory than the image
        (conv((64, 64, 32), 3, (3, 3)), False),  # Winograd's way is better
        (conv((64, 64, 32), 3, (9, 1)), False),  # a line of one tap
        (conv((64, 64, 32), 4, (3, 4), stride=(2, 4)), False),  # each pixel is under one window only
        (conv((2, 1200, 300), 1, (1, 300), stride=(1, 250)), False),  # no window has a stride of 75,000
        (conv((64, 64, 32), 3, (9, 9), dtype="int8"), False),
    ],
)
def test_taps_become_columns_where_it_pays(graph: Graph, wide: bool) -> None:
    widen(graph)
    assert [node.op for node in graph.nodes] == (["conv", "reshape", "dwconv"] if wide else ["conv"])


CASES = [
    conv((20, 23, 32), 3, (9, 9)),
    conv((20, 23, 32), 3, (9, 9), (4, 4, 4, 4)),
    conv((21, 20, 32), 2, (5, 5), (0, 1, 4, 3), (2, 1), (2, 3)),
    conv((21, 23, 40), 1, (7, 6), (3, 2, 3, 4), (3, 2), (1, 2)),
]


@pytest.mark.parametrize("kernels", ["portable", None])
@pytest.mark.parametrize("graph", CASES)
def test_the_sums_are_the_same(graph: Graph, kernels: str | None) -> None:
    values = {name: RNG.standard_normal(graph.values[name].shape).astype(np.float32) for name in graph.inputs}
    results = []
    wide = graph.copy()
    widen(wide)
    assert len(wide.nodes) == 3
    for each in (graph.copy(), wide):
        runtime = Runtime(tf.write(lower(each)[0]), kernels=kernels)
        for tensor, array in zip(runtime.inputs, values.values(), strict=True):
            np.asarray(tensor)[...] = array
        runtime.run()
        results.append(np.array(runtime.outputs[0]))
    assert np.ptp(results[0]) == 6  # not all of one side
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)  # sums of up to 3,240 products of normal numbers


def test_what_lies_between_takes_no_more_than_the_image() -> None:
    graph = conv((64, 64, 32), 3, (9, 9))
    widen(graph)
    image, sums = (graph.values[name].shape for name in ("x", graph.nodes[0].outputs[0] or ""))
    assert sums == (2, 56, 64, 27) and np.prod(sums) <= np.prod(image)
