"""Weights in blocks of 1x4: the bytes of panels on every kernel set, smaller files, rounding that makes up for zeros."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
import struct

import numpy as np
import pytest
import seeds

from tody import format as fmt
from tody._runtime import Runtime, kernel_sets
from tody.compress.levels import round_weights, uniform
from tody.compress.sparsity import sparsify
from tody.convert import sparse
from tody.convert.graph import Graph, Node, Quant, Value
from tody.convert.lower import lower
from tody.errors import ModelError
from tody.run.model import load

RNG = np.random.default_rng(5)
SETS = [("avx2", 1), ("avxvnni", 2), ("avx512vnni", 1)] if platform.machine() == "x86_64" else [("neon", 1)]


def layer(size: int, depth: int, count: int, kernel: int, stride: int, share: float, addend: bool) -> Graph:
    """An int8 convolution of which so many blocks are not zero."""
    out = (size - 1) // stride + 1
    weights = RNG.integers(-127, 128, (1, count, kernel**2, depth)).astype(np.int8)
    weights *= sparsify(RNG.random(weights.shape), min(1 - share, 0.95))
    shapes = {"x": (2, size, size, depth), "y": (2, out, out, count), "z": (2, out, out, count)}
    quants = {"x": Quant((0.1,), 3), "y": Quant((0.2,), -4), "z": Quant((0.3,), 5)}
    g = Graph(inputs=["x", "z"] if addend else ["x"], outputs=["y"])
    g.values = {name: Value(name, shape, "int8", None, "plain", quants[name]) for name, shape in shapes.items()}
    constants = {"w": weights, "b": RNG.integers(-999, 999, (1, count)).astype(np.int32)}
    constants |= {"m": RNG.uniform(1e-4, 2e-3, (1, count)).astype(np.float32), "m2": np.array([0.7], np.float32)}
    for name, data in constants.items():
        g.values[name] = Value(name, data.shape, str(data.dtype), data, "plain" if name == "m2" else "panels")
    attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "dilation": (1, 1), "pad": (kernel // 2,) * 4, "groups": 1}
    g.nodes = [Node("conv", ["x", "w", "b", *(["z", "m", "m2"] if addend else [None, "m"])], ["y"], attrs)]
    return g


@pytest.mark.parametrize("size, depth, count, kernel, stride", [(9, 37, 45, 3, 2), (7, 600, 33, 1, 1), (12, 16, 64, 3, 1)])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("addend", [False, True])
def test_blocks_give_the_bytes_of_panels(
    size: int, depth: int, count: int, kernel: int, stride: int, share: float, addend: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = layer(size, depth, count, kernel, stride, share, addend)
    inputs = [RNG.integers(-128, 128, graph.values[name].shape).astype(np.int8) for name in graph.inputs]
    blocks, _ = lower(graph.copy())
    assert [t.pack for t in blocks.tensors].count("blocks") == 1
    monkeypatch.setattr(sparse, "DENSITY", -1.0)
    panels, _ = lower(graph.copy())
    assert "blocks" not in [t.pack for t in panels.tensors]
    right = np.asarray(load(fmt.write(panels))(inputs))
    content = fmt.write(blocks)
    assert len(content) < len(fmt.write(panels)) and fmt.read(content).tensors == blocks.tensors
    assert load(fmt.write(blocks, coded=True), verify=True)
    here = [one for one in SETS if one[0] in kernel_sets()]
    for kernels, threads in [("portable", 1), *here, (None, 3)]:
        assert np.array_equal(np.asarray(load(content, threads, kernels)(inputs)), right), kernels


def test_panels_stay_where_blocks_are_no_faster() -> None:
    for graph in (layer(12, 64, 64, 1, 1, 0.7, False), layer(2, 64, 64, 1, 1, 0.2, False), layer(12, 64, 16, 1, 1, 0.2, False)):
        assert not sparse.sparse_weights(graph)
    assert sparse.sparse_weights(layer(12, 64, 64, 1, 1, 0.2, False)) == {"w"}


def test_damaged_blocks_are_refused() -> None:
    data = seeds.models()["s8_dense_blocks"]
    file, header = fmt.read(data), fmt.read_header(data)
    tensor = next(t for t in file.tensors if t.pack == "blocks")
    at, lists = header.weights_at + tensor.at, 2 * tensor.shape[1]
    starts = at + 4 * tensor.shape[1]
    places = starts + 4 * (lists + 1)
    last = struct.unpack_from("<I", data, starts + 4 * lists)[0]
    wrong = [(starts, 1), (starts + 4, 1 << 31), (starts + 4 * lists, last + 1), (starts + 4 * lists, 0xFFFFFFFF)]
    wrong += [(places, 0x05050505), (places, 0xFFFFFFFF), (places + (last - 4) // 4 * 4, 0x7F7E7D7C)]
    Runtime(data)
    for place, value in wrong:
        damaged = bytearray(data)
        struct.pack_into("<I", damaged, place, value)
        with pytest.raises(ModelError):
            Runtime(bytes(damaged))
            pytest.fail(f"{value:#x} at {place - at} was taken")


def test_rounding_makes_up_for_what_became_zero() -> None:
    x = RNG.standard_normal((500, 32)) @ RNG.standard_normal((32, 32))
    target = 20 * RNG.standard_normal((1, 8, 32))
    kept = sparsify(target.reshape(1, 8, 1, 32), 0.5).reshape(target.shape)
    levels = round_weights(target, np.cov(x.T)[None], uniform(8), kept=kept)
    assert not levels[~kept].any()
    lost = [np.square(x @ (w - target)[0].T).sum() for w in (levels, np.rint(target) * kept)]
    assert lost[0] < 0.7 * lost[1]
