"""A BatchNormalization that no weights can take: one pass over the image, and the same numbers as before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

pytest.importorskip("onnx")

from net import Net
from passes import optimised


def pooled(net: Net) -> str:
    """An image that no weights made."""
    return str(net.op("MaxPool", net.input(1, 8, 9, 7), kernel_shape=[3, 3], pads=[1] * 4))


@pytest.mark.parametrize("function", [None, "Relu", "Sigmoid"])
def test_normalization_in_front_of_a_convolution_is_one_pass(function: str | None) -> None:
    net = Net()
    y = net.norm(pooled(net), 8)
    y = net.conv(net.op(function, y) if function else y, 8, 4, 3)
    _, ops = optimised(net.model(y))
    assert ops["dwconv"] == ops["conv"] == 1 and "binary" not in ops and "unary" not in ops


def test_constants_may_stand_first() -> None:
    net = Net()
    y = net.op("Add", net.floats(8, 1, 1), net.op("Mul", net.floats(8, 1, 1), pooled(net)))
    _, ops = optimised(net.model(net.conv(y, 8, 4, 3)))
    assert ops["dwconv"] == ops["conv"] == 1 and "binary" not in ops


def test_a_product_that_others_take_too_stays() -> None:
    net = Net()
    scaled = net.op("Mul", pooled(net), net.floats(8, 1, 1))
    _, ops = optimised(net.model(net.op("Add", scaled, net.floats(8, 1, 1)), net.op("Neg", scaled)))
    assert ops["binary"] == 2 and "dwconv" not in ops


def test_rows_of_numbers_are_no_image() -> None:
    net = Net()
    y = net.op("Add", net.op("Mul", net.op("Softmax", net.input(5, 8)), net.floats(8)), net.floats(8))
    _, ops = optimised(net.model(y))
    assert ops["binary"] == 2 and "dwconv" not in ops
