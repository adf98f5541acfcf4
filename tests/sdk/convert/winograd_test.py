"""Winograd's convolution: where the compiler chooses it, and that it gives what the direct way gives."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from conv_files import FUSED, conv_file, feeds_of, result

from tody import errors
from tody import format as tf
from tody._runtime import Runtime, kernel_sets
from tody.convert.graph import Graph, Node, Value
from tody.convert.tiling import tilings

RNG = np.random.default_rng(3)
ENOUGH = 1 << 30  # bytes of arena, for which there is no limit to speak of


def conv(size: int, depth: int, columns: int, **attrs: object) -> Graph:
    """Of an output of `size`: what ways a layer has depends on that, and not on the image."""
    attrs = {"kernel": (3, 3), "pad": (1, 1, 1, 1), **attrs}
    weights = np.zeros((1, columns, np.prod(attrs["kernel"]), depth), np.float32)
    values = [
        Value("x", (1, size, size, depth)),
        Value("w", weights.shape, data=weights, pack="panels"),
        Value("y", (1, size, size, columns)),
    ]
    return Graph([Node("conv", ["x", "w"], ["y"], attrs)], {v.name: v for v in values}, ["x"], ["y"])


@pytest.mark.parametrize(
    ("size", "depth", "columns", "tile"),
    [
        (56, 64, 64, 4),
        (40, 32, 32, 4),
        (10, 128, 128, 2),  # weights of larger tiles would come from memory for 9 tiles only,
        (14, 256, 256, 4 | tf.FLEETING),
        (7, 512, 512, 4 | tf.FLEETING),
        (4, 512, 512, 0),  # one tile would have to pay for the transform of all weights
        (224, 3, 64, 0),  # next to nothing is multiplied: the transforms cost more
        (1, 64, 64, 0),
    ],
)
def test_what_pays_is_chosen(size: int, depth: int, columns: int, tile: int) -> None:
    assert tilings(conv(size, depth, columns), ENOUGH).get("w", 0) == tile


@pytest.mark.parametrize(
    ("size", "depth", "columns", "kernel", "stride", "tile"),
    [
        (40, 32, 64, 3, 2, 5),
        (64, 64, 128, 3, 2, 5),
        (80, 16, 32, 3, 2, 0),  # gains too little for its memory
        (7, 256, 512, 3, 2, 0),  # 49 weights for 9 would come from memory for four tiles,
        (112, 3, 32, 3, 2, 0),  # and next to nothing is multiplied here
        (112, 3, 64, 7, 2, 3),
        (56, 32, 32, 5, 1, 2),
        (28, 64, 64, 5, 2, 4),
        (56, 32, 32, 6, 1, 0),  # tiles of 1 would not save anything
        (56, 32, 32, 2, 2, 0),  # no pixel is under two windows
    ],
)
def test_other_windows(size: int, depth: int, columns: int, kernel: int, stride: int, tile: int) -> None:
    graph = conv(size, depth, columns, kernel=(kernel, kernel), stride=(stride, stride))
    assert tilings(graph, ENOUGH).get("w", 0) == tile


@pytest.mark.parametrize("attrs", [{"stride": (2, 1)}, {"dilation": (1, 2)}, {"kernel": (1, 9)}, {"stride": (3, 3)}])
def test_only_squares_with_shared_pixels_are_tiled(attrs: dict[str, tuple[int, int]]) -> None:
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


# Window, step and tile: all that there are kernels for, and phases of which some, or none, lack taps.
FORMS = [(3, 1, 2), (3, 1, 4), (2, 1, 3), (4, 1, 3), (5, 1, 2)]
FORMS += [(kernel, 1, tile | tf.FLEETING) for kernel, _, tile in FORMS]
FORMS += [(3, 2, 3), (3, 2, 5), (4, 2, 5), (5, 2, 2), (5, 2, 4), (7, 2, 3), (9, 2, 2), (4, 3, 3), (7, 3, 4)]
MANY = 1536  # terms of a sum from which on every kernel set adds up phases


def random_file(kernel: int, step: int, tile: int, least: int = 1, terms: int = 1, depth: int = 0) -> tf.File:
    """One convolution of a random shape, of at least so many lines, columns, and terms of a sum; perhaps of a given depth."""
    n, h, w, more, columns = (int(RNG.integers(1, end)) for end in (4, 30 * step, 30 * step, 70, 50))
    depth = depth or -(-terms // kernel**2) + more - 1
    pad = tuple(int(p) for p in RNG.integers(0, kernel, 4))
    height, width = (h + pad[0] + pad[2] - kernel) // step + 1, (w + pad[1] + pad[3] - kernel) // step + 1
    if min(height, width) < least:
        return random_file(kernel, step, tile, least, terms, depth)
    activation = [("none", 0.0, 0.0), ("clamp", -5.0, 9.0), ("silu", 1.0, 0.0)][int(RNG.integers(3))]
    attrs = {"kernel": (kernel, kernel), "stride": (step, step), "pad": pad, "activation": activation}
    return conv_file(RNG, (n, h, w, depth), (n, height, width, columns), tile, **attrs)


def run(data: bytes, feeds: list[np.ndarray], kernels: str, threads: int = 1, prepare: bool = True) -> np.ndarray:
    return result(Runtime(data, threads, kernels, prepare=prepare), feeds)


def largest_error(file: tf.File, kernels: str) -> float:
    """Of what tiles give against the direct way, relative to the sums: the clamp may hide these. To the bit the same for any
    number of threads."""
    feeds = feeds_of(RNG, file)
    data = tf.write(file)
    want, got = (run(data, feeds, kernels, prepare=prepare) for prepare in (False, True))
    for threads in (2, 3):
        np.testing.assert_array_equal(run(data, feeds, kernels, threads), got)
    return float(np.abs(got - want).max()) / math.sqrt(math.prod(file.tensors[1].shape[2:]))


@pytest.mark.parametrize(("kernel", "step", "tile"), FORMS)
@pytest.mark.parametrize("kernels", kernel_sets())
def test_random_shapes(kernels: str, kernel: int, step: int, tile: int) -> None:
    errors = [largest_error(random_file(kernel, step, tile), kernels) for _ in range(10)]
    assert max(errors) <= 1.5e-5


@pytest.mark.parametrize(("kernel", "step", "tile"), [form for form in FORMS if form[1] > 1])
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 7, 14, 15])
def test_phases_of_few_channels(depth: int, kernel: int, step: int, tile: int) -> None:
    """The portable set goes that way with sums of any length."""
    file = random_file(kernel, step, tile, depth=depth)
    assert Runtime(tf.write(file), 1, "portable").prepared_bytes
    assert largest_error(file, "portable") <= 1.5e-5


@pytest.mark.parametrize(("kernel", "step", "tile"), FORMS)
@pytest.mark.parametrize("kernels", kernel_sets())
def test_long_sums(kernels: str, kernel: int, step: int, tile: int) -> None:
    """Every kernel set goes the way that the file asks for."""
    files = [random_file(kernel, step, tile, terms=MANY) for _ in range(2)]
    for file in files:
        assert bool(Runtime(tf.write(file), 1, kernels).prepared_bytes) == (not tile & tf.FLEETING)
    errors = [largest_error(file, kernels) for file in files]
    assert max(errors) <= 2.5e-5  # the worst element of a long sum is worse, its root mean square is not


@pytest.mark.parametrize(
    ("kernel", "step", "tile"), [(3, 1, 1), (3, 1, 3), (2, 1, 5), (3, 2, 2), (3, 2, 4), (2, 2, 4), (3, 2, 5 | tf.FLEETING)]
)
def test_tiles_without_kernels_are_refused(kernel: int, step: int, tile: int) -> None:
    with pytest.raises(errors.ModelError):
        Runtime(tf.write(random_file(kernel, step, tile)))


@pytest.mark.parametrize(("kernel", "step", "tile"), FORMS)
def test_sets_with_fused_multiply_add_agree_to_the_bit(kernel: int, step: int, tile: int) -> None:
    file = random_file(kernel, step, tile, least=15, terms=MANY)  # enough of them: of fewer, not every set goes this way
    file.records[0].attrs["activation"] = ("none", 0.0, 0.0)
    feeds = feeds_of(RNG, file)
    results = [run(tf.write(file), feeds, name) for name in FUSED]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_clones_share_what_was_prepared() -> None:
    file = random_file(3, 1, 4)
    feeds = feeds_of(RNG, file)
    data = tf.write(file)
    runtime = Runtime(data)
    clone = runtime.clone()
    del runtime
    np.testing.assert_array_equal(result(clone, feeds), run(data, feeds, Runtime(data).kernels))
