"""Parallel branches, scales in front, narrow groups: the operators that are left, and the same numbers as before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net
from passes import feeds, optimised, quantise, run

from tody.convert import integers
from tody.convert.integers import to_integers
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise


def left(net: Net, *outputs: str) -> dict[str, int]:
    """The operators left of a model, without copies and reshapes at its borders."""
    _, ops = optimised(net.model(*outputs))
    return {op: n for op, n in ops.items() if op not in ("copy", "reshape")}


def start(net: Net, height: int, width: int) -> str:
    """8 channels that a pooling made, so that they lie as convolutions want them."""
    return str(net.op("MaxPool", net.input(1, 8, height, width), kernel_shape=[3, 3], pads=[1] * 4))


def window(net: Net, x: str, kernel: tuple[int, int], group: int = 1, **attrs: Any) -> str:
    """A convolution of 8 channels without bias."""
    return str(net.op("Conv", x, net.floats(8, 8 // group, *kernel), kernel_shape=kernel, group=group, **attrs))


@pytest.mark.parametrize(("group", "op"), [(1, "conv"), (8, "dwconv")])
def test_branches_with_batch_normalization_are_one_convolution(group: int, op: str) -> None:
    net = Net()
    x = start(net, 9, 7)
    y = net.op("Add", net.norm(net.conv(x, 8, 8, 1, group=group), 8), net.norm(x, 8))
    y = net.op("Add", y, net.norm(net.conv(x, 8, 8, 3, group=group), 8))
    y = net.op("Relu", net.op("Add", net.norm(net.conv(x, 8, 8, 3, group=group), 8), y))
    assert left(net, y) == {"pool": 1, op: 1}


def test_a_difference_of_branches_and_the_sum_around_it() -> None:
    net = Net()
    x = start(net, 9, 7)
    mixed = net.op("Sub", net.conv(x, 8, 8, 3, group=8), net.norm(x, 8))
    mixed = net.op("Sub", net.conv(x, 8, 8, 1, group=8), mixed)
    assert left(net, net.op("Add", x, net.op("Mul", mixed, net.floats(8, 1, 1)))) == {"pool": 1, "dwconv": 1}


def test_windows_merge_where_one_lies_within_the_other() -> None:
    net = Net()
    x = start(net, 12, 12)
    y = net.op("Add", window(net, x, (5, 5), pads=[2] * 4), window(net, x, (3, 3), pads=[2] * 4, dilations=[2, 2]))
    y = net.op("Add", window(net, x, (1, 3), pads=[0, 1, 0, 1]), y)
    assert left(net, net.op("Add", y, window(net, x, (5, 1), pads=[2, 0, 2, 0]))) == {"pool": 1, "conv": 1}


@pytest.mark.parametrize(
    "attrs",
    [{"pads": [2] * 4, "dilations": [2, 2]}, {"pads": [1] * 4, "group": 8}, {"pads": [0, 0, 2, 2]}],
    ids=["wider", "depthwise", "shifted"],
)
def test_windows_apart_stay_apart(attrs: dict[str, Any]) -> None:
    net = Net()
    x = start(net, 12, 12)
    y = net.op("Add", window(net, x, (3, 3), pads=[1] * 4), window(net, x, (3, 3), **attrs))
    ops = left(net, y)
    assert ops["conv"] + ops.get("dwconv", 0) == 2


def test_a_branch_that_others_need_stays_and_so_does_a_plain_residual() -> None:
    net = Net()
    x = start(net, 9, 9)
    y = net.conv(x, 8, 8, 1)
    y = net.op("Add", y, net.conv(net.op("Sigmoid", y), 8, 8, 3))
    y = net.op("Add", y, net.conv(x, 8, 8, 3))
    assert left(net, net.conv(y, 8, 8)) == {"pool": 1, "conv": 4, "unary": 1}
    net = Net()
    x = start(net, 9, 9)
    graph, _ = optimised(net.model(net.op("Add", net.conv(x, 8, 8, 3), x)))
    (node,) = [node for node in graph.nodes if node.op == "conv"]
    assert len(node.inputs) == 4, "the input is the addend"


def test_the_addend_of_either_branch_is_kept() -> None:
    for first in (True, False):
        net = Net()
        x = start(net, 9, 9)
        r = net.op("Sigmoid", net.conv(x, 8, 8))
        a, b = net.conv(x, 8, 8, 3), net.conv(x, 8, 8, 1)
        parts = (net.op("Add", r, a), b) if first else (a, net.op("Add", r, b))
        y = net.op("Relu", net.op("Add", *parts))
        assert left(net, net.conv(y, 8, 8)) == {"pool": 1, "conv": 3}


def test_a_scaled_branch_of_more_channels_than_the_input_stays() -> None:
    net = Net()
    x = start(net, 9, 7)
    wide = net.op("MaxPool", net.conv(x, 8, 16, 3), kernel_shape=[3, 3], pads=[1] * 4)
    factors = net.op("Mul", net.op("Relu", wide), net.floats(16, 1, 1))
    scaled = net.op("Mul", net.op("Sigmoid", factors), net.floats(16, 1, 1))
    assert left(net, net.op("Add", scaled, net.conv(x, 8, 16)))["conv"] == 2


def test_a_scale_in_front_goes_into_all_that_takes_it() -> None:
    net = Net()
    x = start(net, 6, 6)
    y = net.norm(x, 8)
    assert left(net, net.conv(y, 8, 4), net.conv(y, 8, 16, group=2), net.conv(y, 8, 8, group=8)) == {
        "pool": 1,
        "conv": 2,
        "dwconv": 1,
    }


def test_a_shift_in_front_of_padding_stays_but_a_scale_does_not() -> None:
    net = Net()
    assert left(net, net.conv(net.norm(start(net, 6, 6), 8), 8, 4, 3))["conv"] == 1
    net = Net()
    scaled = net.op("Mul", start(net, 6, 6), net.floats(8, 1, 1))
    assert left(net, net.conv(scaled, 8, 4, 3)) == {"pool": 1, "conv": 1}


def test_a_scale_in_front_of_a_dense_layer() -> None:
    net = Net()
    x = net.op("Add", net.op("Mul", net.op("Relu", net.input(3, 5)), net.floats(5)), net.floats(5))
    assert left(net, net.op("Sigmoid", net.dense(x, 5, 7))) == {"unary": 1, "dense": 1}


@pytest.mark.parametrize(
    ("channels", "made", "group", "groups"),
    [(16, 16, 8, 2), (32, 32, 8, 4), (48, 24, 12, 3), (40, 40, 2, 2), (104, 104, 13, 13)],
)
def test_groups_narrower_than_half_a_panel_are_joined(channels: int, made: int, group: int, groups: int) -> None:
    net = Net()
    graph, _ = optimised(net.model(net.op("Relu", net.conv(net.input(1, channels, 7, 5), channels, made, 3, 2, group=group))))
    (node,) = [node for node in graph.nodes if node.op == "conv"]
    assert node.attrs["groups"] == groups


def test_a_depth_multiplier_is_a_depthwise_convolution() -> None:
    net = Net()
    ops = left(net, net.op("Relu", net.conv(net.input(2, 6, 9, 9), 6, 18, 5, 2, group=6)))
    assert ops == {"dwconv": 1}


@pytest.mark.parametrize(("multiplied", "early"), [(False, False), (True, False), (False, True)])
def test_int8_groups_fill_a_panel_and_compute_the_same_bytes(
    multiplied: bool, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net()
    channels, made, group = (8, 16, 8) if multiplied else (16, 16, 4)
    graph = import_onnx(net.model(net.op("Relu", net.conv(net.input(1, channels, 7, 5), channels, made, 3, group=group))))
    arrays = feeds(graph)
    if early:
        optimise(graph)
    quantise(graph, arrays)
    plain = copy.deepcopy(graph)
    with monkeypatch.context() as m:
        m.setattr(integers, "widen_groups", lambda index, node: False)
        to_integers(plain)
    assert {"conv"} <= {node.op for node in plain.nodes}
    if not early:
        optimise(graph)
    assert to_integers(graph) == []
    (node,) = [node for node in graph.nodes if node.op in ("conv", "dwconv")]
    assert node.attrs["groups"] == (16 if multiplied else 1)
    for a, b in zip(run(plain, *arrays), run(graph, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_taps_that_see_only_padding_go() -> None:
    net = Net()
    x = start(net, 6, 9)
    y = window(net, x, (3, 3), dilations=[6, 6], pads=[6] * 4)  # rows see one line, columns reach in
    z = window(net, window(net, y, (3, 3), dilations=[9, 9], pads=[9] * 4), (5, 5), group=8, pads=[8] * 4, dilations=[4, 4])
    w = window(net, window(net, z, (3, 3), strides=[6, 9], pads=[1] * 4), (3, 3), group=8, pads=[1] * 4)
    graph, _ = optimised(net.model(net.op("Relu", w)))
    kernels = [tuple(node.attrs["kernel"]) for node in graph.nodes if node.op in ("conv", "dwconv")]
    assert kernels == [(1, 3), (1, 1), (3, 5), (2, 2), (1, 1)]


@pytest.mark.parametrize("rank", [4, 3])
def test_a_group_normalization_of_one_group_needs_no_copies(rank: int) -> None:
    net = Net()
    size = (6, 5)[: rank - 2]
    x = net.op("Conv", net.input(2, 8, *size), net.floats(8, 8, *[1] * len(size)))
    y = net.op("Reshape", x, net.constant(np.array([0, 1, -1])))
    y = net.op("InstanceNormalization", y, net.constant(np.ones(1, "f")), net.constant(np.zeros(1, "f")))
    y = net.op("Reshape", y, net.constant(np.array([2, 8, *size])))
    y = net.op("Add", net.op("Mul", y, net.floats(8, *[1] * len(size))), net.floats(8, *[1] * len(size)))
    graph, ops = optimised(net.model(net.op("Conv", y, net.floats(4, 8, *[1] * len(size)))))
    assert (ops["conv"], ops["layer_norm"], ops.get("copy", 0)) == (2, 1, 2), ops  # at the borders
    assert graph.nodes[-1].op in ("copy", "reshape")
