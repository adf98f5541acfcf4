"""Winograd's convolution: where the compiler chooses it, and that it gives what the direct way gives."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_files import FUSED, conv_file, feeds_of, result

from tody import format as tf
from tody._runtime import Runtime, kernel_sets
from tody.convert.graph import Graph, Node, Value
from tody.convert.tiling import tilings

RNG = np.random.default_rng(3)
ENOUGH = 1 << 30  # bytes of arena, for which there is no limit to speak of


def conv(size: int, depth: int, columns: int, **attrs: object) -> Graph:
    weights = np.zeros((1, columns, 9, depth), np.float32)
    values = [
        Value("x", (1, size, size, depth)),
        Value("w", weights.shape, data=weights, pack="panels"),
        Value("y", (1, size, size, columns)),
    ]
    attrs = {"kernel": (3, 3), "pad": (1, 1, 1, 1), **attrs}
    return Graph([Node("conv", ["x", "w"], ["y"], attrs)], {v.name: v for v in values}, ["x"], ["y"])


@pytest.mark.parametrize(
    ("size", "depth", "columns", "tile"),
    [
        (56, 64, 64, 4),
        (40, 32, 32, 4),
        (10, 128, 128, 2),  # weights of larger tiles would come from memory for 9 tiles only,
        (14, 256, 256, 2),
        (7, 512, 512, 4 | tf.FLEETING),
        (4, 512, 512, 0),  # one tile would have to pay for the transform of all weights
        (224, 3, 64, 0),  # next to nothing is multiplied: the transforms cost more
        (1, 64, 64, 0),
    ],
)
def test_what_pays_is_chosen(size: int, depth: int, columns: int, tile: int) -> None:
    assert tilings(conv(size, depth, columns), ENOUGH).get("w", 0) == tile


@pytest.mark.parametrize("attrs", [{"stride": (2, 2)}, {"dilation": (1, 2)}, {"kernel": (1, 9)}])
def test_only_plain_3x3_is_tiled(attrs: dict[str, tuple[int, int]]) -> None:
    assert not tilings(conv(56, 64, 64, **attrs), ENOUGH)


def test_weights_that_others_use_too_are_not_tiled() -> None:
    graph = conv(56, 64, 64)
    graph.values["z"] = Value("z", (1, 28, 28, 64))
    graph.nodes.append(Node("conv", ["x", "w"], ["z"], {"kernel": (3, 3), "pad": (1, 1, 1, 1), "stride": (2, 2)}))
    assert not tilings(graph, ENOUGH)


def test_memory_goes_where_it_saves_most() -> None:
    """Of two layers with equal weights, that with more pixels; and no more than weights and a third of the arena."""
    large, small = conv(56, 128, 128), conv(40, 128, 128)
    large.values |= {f"{name} of small": replace(value, name=f"{name} of small") for name, value in small.values.items()}
    large.nodes += [Node("conv", ["x of small", "w of small"], ["y of small"], small.nodes[0].attrs)]
    weight_bytes, tile_bytes = 9 * 128 * 128 * 4, {0: 0, 2: 16 * 128 * 128 * 4, 4: 36 * 128 * 128 * 4}
    for arena_bytes in range(0, 9 << 20, 1 << 18):
        tiles = tilings(large, arena_bytes)
        assert tiles.get("w", 0) >= tiles.get("w of small", 0)
        assert sum(tile_bytes[t] for t in tiles.values()) <= 2 * weight_bytes + arena_bytes // 3
    assert tilings(large, 0) == {"w": 2}
    assert tilings(large, ENOUGH) == {"w": 4, "w of small": 4}


def random_file(tile: int, least: int = 1) -> tf.File:
    """One convolution of a random shape, of at least so many lines and columns."""
    n, h, w, depth, columns = (int(RNG.integers(1, end)) for end in (4, 30, 30, 70, 50))
    pad = tuple(int(p) for p in RNG.integers(0, 4, 4))
    height, width = h + pad[0] + pad[2] - 2, w + pad[1] + pad[3] - 2
    if min(height, width) < least:
        return random_file(tile, least)
    activation = [("none", 0.0, 0.0), ("clamp", -5.0, 9.0), ("silu", 1.0, 0.0)][int(RNG.integers(3))]
    attrs = {"kernel": (3, 3), "pad": pad, "activation": activation}
    return conv_file(RNG, (n, h, w, depth), (n, height, width, columns), tile, **attrs)


def run(data: bytes, feeds: list[np.ndarray], kernels: str, threads: int = 1, prepare: bool = True) -> np.ndarray:
    runtime = Runtime(data, threads, kernels, prepare=prepare)
    assert bool(runtime.prepared_bytes) == (prepare and not tf.read(data).tensors[1].tile & tf.FLEETING)
    return result(runtime, feeds)


@pytest.mark.parametrize("tile", [2, 4, 2 | tf.FLEETING, 4 | tf.FLEETING])
@pytest.mark.parametrize("kernels", kernel_sets())
def test_random_shapes(kernels: str, tile: int) -> None:
    """Against the direct way, and to the bit for any number of threads."""
    for _ in range(40):
        file = random_file(tile)
        feeds = feeds_of(RNG, file)
        data = tf.write(file)
        want, got = (run(data, feeds, kernels, prepare=prepare) for prepare in (False, True))
        scale = np.sqrt(9 * file.tensors[1].shape[3])  # of the sums: the clamp may hide it
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-5 * scale, err_msg=str(file.tensors))
        for threads in (2, 3):
            np.testing.assert_array_equal(run(data, feeds, kernels, threads), got)


def test_sets_with_fused_multiply_add_agree_to_the_bit() -> None:
    for tile in (2, 4, 2 | tf.FLEETING, 4 | tf.FLEETING):
        file = random_file(tile, least=9)  # enough tiles: of fewer, not every set transforms weights in each run
        file.records[0].attrs["activation"] = ("none", 0.0, 0.0)
        feeds = feeds_of(RNG, file)
        results = [run(tf.write(file), feeds, name) for name in FUSED]
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])


def test_clones_share_what_was_prepared() -> None:
    file = random_file(4)
    feeds = feeds_of(RNG, file)
    data = tf.write(file)
    runtime = Runtime(data)
    clone = runtime.clone()
    del runtime
    np.testing.assert_array_equal(result(clone, feeds), run(data, feeds, Runtime(data).kernels))
