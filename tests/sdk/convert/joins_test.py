"""Branches whose channels a concat joins: the operators that are left, and the same numbers as before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

pytest.importorskip("onnx")

from net import Net
from passes import optimised


def left(net: Net, *outputs: str) -> dict[str, int]:
    """The operators left of a model, without copies and reshapes at its borders."""
    _, ops = optimised(net.model(*outputs))
    return {op: n for op, n in ops.items() if op not in ("copy", "reshape")}


def start(net: Net, channels: int = 8) -> str:
    """Channels that a pooling made, so that they lie as convolutions want them."""
    return str(net.op("MaxPool", net.input(1, channels, 9, 7), kernel_shape=[3, 3], pads=[1] * 4))


def part(net: Net, x: str, low: int, high: int) -> str:
    """Some channels of an image."""
    return str(net.op("Slice", x, net.constant([low]), net.constant([high]), net.constant([1])))


def parts(net: Net, channels: int, kernel: int, bounds: list[tuple[int, int]], columns: int = 5) -> str:
    """Convolutions of parts of an image, joined."""
    x = start(net, channels)
    made = [net.conv(part(net, x, low, high), high - low, columns, kernel) for low, high in bounds]
    return str(net.op("Concat", *made, axis=1))


@pytest.mark.parametrize(
    ("channels", "kernel", "bounds", "convs"),
    [
        (12, 1, [(0, 4), (4, 8), (8, 12)], 1),
        (64, 1, [(0, 32), (32, 64)], 1),
        (12, 3, [(0, 6), (6, 12)], 1),
        (64, 3, [(0, 32), (32, 64)], 2),  # which have a quicker way of their own
        (12, 1, [(4, 8), (0, 4), (8, 12)], 3),  # in another order
        (12, 1, [(0, 4), (4, 8)], 2),  # not all of the image
        (12, 1, [(0, 4), (4, 12)], 2),  # not of one size
    ],
)
def test_groups_that_were_spelt_out(channels: int, kernel: int, bounds: list[tuple[int, int]], convs: int) -> None:
    net = Net()
    found = left(net, parts(net, channels, kernel, bounds))
    assert found == ({"pool": 1, "conv": 1} if convs == 1 else {"pool": 1, "conv": convs, "concat": 1})


def test_groups_with_different_windows_stay_apart() -> None:
    net = Net()
    x = start(net)
    y = net.op("Concat", net.conv(part(net, x, 0, 4), 4, 4, 1), net.conv(part(net, x, 4, 8), 4, 4, 3), axis=1)
    assert left(net, y) == {"pool": 1, "conv": 2, "concat": 1}


def test_batch_normalization_and_activation_go_into_the_branches() -> None:
    net = Net()
    x = start(net)
    branches = [net.conv(x, 8, 8, 3, group=8), net.conv(x, 8, 8, 5, group=8), net.conv(x, 8, 4, 1)]
    y = net.norm(net.op("Concat", *branches, axis=1), 20)
    y = net.op("Mul", y, net.op("Sigmoid", y))
    assert left(net, y) == {"pool": 1, "dwconv": 2, "conv": 1, "concat": 1}


def test_a_branch_that_others_take_too_keeps_its_numbers() -> None:
    net = Net()
    x = start(net)
    a, b = net.conv(x, 8, 8, 3), net.conv(x, 8, 8, 1)
    y = net.norm(net.op("Concat", a, b, axis=1), 16)
    found = left(net, y, net.op("Neg", a))
    assert found["concat"] == 1 and found["binary"] == 2


def test_a_branch_with_an_activation_keeps_it() -> None:
    net = Net()
    x = start(net)
    y = net.op("Concat", net.op("Relu", net.conv(x, 8, 8, 3)), net.conv(x, 8, 8, 1), axis=1)
    assert left(net, net.op("Sigmoid", y)) == {"pool": 1, "conv": 2, "concat": 1, "unary": 1}


def test_a_function_that_no_branch_can_take_stays_one() -> None:
    net = Net()
    x = start(net)
    y = net.op("Concat", net.conv(x, 8, 8, 3), net.conv(x, 8, 8, 1), axis=1)
    assert left(net, net.op("Neg", y)) == {"pool": 1, "conv": 2, "concat": 1, "unary": 1}


def test_a_concat_of_rows_is_no_concat_of_channels() -> None:
    net = Net()
    x = start(net)
    y = net.op("Concat", net.conv(x, 8, 8, 3), net.conv(x, 8, 8, 1), axis=2)
    assert left(net, net.op("Sigmoid", y)) == {"pool": 1, "conv": 2, "concat": 1, "unary": 1}
