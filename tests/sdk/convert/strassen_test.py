"""Strassen's products: where the compiler chooses them, and that they give what the direct way gives."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from conv_files import FUSED, conv_file, feeds_of, result

from tody import format as tf
from tody._runtime import Runtime, kernel_sets
from tody.convert.graph import Graph, Node, Value
from tody.convert.tiling import tilings

RNG = np.random.default_rng(5)
ENOUGH = 1 << 30  # bytes of arena, for which there is no limit to speak of
WIDE, MANY_ROWS = 768, 90  # from which on a product gains by each kernel set
ERROR = 4e-6  # of any element, as a share of the largest sum of magnitudes: the bound of the way is of norms


def dense(rows: int, depth: int, columns: int, addend: bool = False, taps: int = 1) -> Graph:
    weights = np.zeros((1, columns, taps, depth), np.float32)
    shape = (rows, columns)
    values = [Value("x", (rows, depth)), Value("w", weights.shape, data=weights, pack="panels"), Value("y", shape)]
    inputs: list[str | None] = ["x", "w", *([None, "e"] if addend else [])]
    values += [Value("e", shape)] if addend else []
    return Graph([Node("dense", inputs, ["y"], {})], {v.name: v for v in values}, ["x"], ["y"])


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "pays"),
    [
        (196, 512, 512, True),
        (49, 1024, 1024, True),
        (196, 384, 512, True),
        (49, 512, 1024, True),
        (196, 256, 512, True),
        (784, 128, 256, False),  # the additions cost more
        (12, 2048, 2048, False),  # a handful of rows
        (196, 512, 496, False),  # half of the columns are not whole panels
        (196, 520, 512, False),
    ],
)
def test_what_pays_is_chosen(rows: int, depth: int, columns: int, pays: bool) -> None:
    assert tilings(dense(rows, depth, columns), ENOUGH) == ({"w": tf.QUARTERS} if pays else {})


def test_addends_cost() -> None:
    assert tilings(dense(196, 384, 512), ENOUGH) and not tilings(dense(196, 384, 512, addend=True), ENOUGH)


def test_not_in_chains_nor_beyond_the_memory() -> None:
    graph = dense(196, 512, 512)
    assert not tilings(graph, ENOUGH, {"w"})
    graph.values["more"] = Value("more", (196, 512))
    graph.nodes.append(Node("dense", ["y", "w"], ["more"], {}))
    assert not tilings(graph, ENOUGH)  # two layers take the weights
    large, small = dense(196, 512, 512), 1 << 20
    large.values["w"].data = np.zeros(small // 8, np.float32)  # as if they were stored in fewer bytes
    assert tilings(large, 0) and not tilings(dense(784, 1024, 512), -3 * small)


def random_file(activation: tuple[str, float, float], side: int = 9) -> tf.File:
    """One convolution of 1x1 with stride 1 or 2, of images of this side at least, in a batch of 1 or 2."""
    n, step, height, width = (int(RNG.integers(*ends)) for ends in [(1, 3), (1, 3), (side, side + 12), (side, side + 12)])
    depth, columns = (32 * int(RNG.integers(WIDE // 32, WIDE // 32 + 3)) for _ in range(2))
    shape = (n, (height - 1) // step + 1, (width - 1) // step + 1, columns)
    attrs = {"kernel": (1, 1), "stride": (step, step), "activation": activation}
    return conv_file(RNG, (n, height, width, depth), shape, tf.QUARTERS, **attrs)


def run(data: bytes, feeds: Sequence[np.ndarray], kernels: str, threads: int = 1, prepare: bool = True) -> np.ndarray:
    runtime = Runtime(data, threads, kernels, prepare=prepare)
    few = prepare and math.prod(runtime.outputs[0].shape[:3]) < MANY_ROWS
    assert few or bool(runtime.prepared_bytes) == prepare
    return result(runtime, feeds)


@pytest.mark.parametrize("kernels", kernel_sets())
def test_random_shapes(kernels: str) -> None:
    """Against float64, with a bound of norms; and to the bit for any number of threads."""
    for activation in [("none", 0.0, 0.0), ("clamp", -20.0, 30.0), ("silu", 1.0, 0.0)] * 2:
        file = random_file(activation)
        feeds = feeds_of(RNG, file)
        data = tf.write(file)
        want, got = (run(data, feeds, kernels, prepare=prepare) for prepare in (False, True))
        scale = file.tensors[1].shape[3]  # of values of 1: the largest sum of magnitudes is below twice that
        np.testing.assert_allclose(got, want, rtol=0, atol=ERROR * scale, err_msg=str(file.tensors))
        relative = np.linalg.norm((got - want).astype(np.float64)) / np.linalg.norm(want.astype(np.float64))
        assert relative < 2e-6 if activation[0] == "none" else relative < 1e-5
        for threads in (2, 3):
            np.testing.assert_array_equal(run(data, feeds, kernels, threads), got)


def test_sets_with_fused_multiply_add_agree_to_the_bit() -> None:
    file = random_file(("none", 0.0, 0.0), side=19)
    data, feeds = tf.write(file), feeds_of(RNG, file)
    results = [run(data, feeds, name) for name in FUSED]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e6])
def test_the_error_is_bounded_by_norms(spread: float) -> None:
    """Quarters of very different magnitude: the bound is of the largest values, not of each result's own."""
    rows, depth, columns = 144, WIDE, WIDE
    x = RNG.standard_normal((1, 12, 12, depth))
    w = RNG.standard_normal((1, columns, 1, depth))
    x[..., : depth // 2] *= spread
    w[:, : columns // 2] *= spread
    file = tf.File(weights=tf.pack_panels(w.astype(np.float32)))
    file.tensors = [
        tf.Tensor("float32", x.shape, "arena", 0),
        tf.Tensor("float32", w.shape, "weights", 0, "panels", tile=tf.QUARTERS),
        tf.Tensor("float32", (1, 12, 12, columns), "arena", 4 * rows * depth),
    ]
    file.arena_bytes = 4 * rows * (depth + columns)
    file.records = [tf.Record("conv", [0, 1], [2], {"kernel": (1, 1)})]
    file.inputs, file.outputs = [0], [2]
    x, w = x.astype(np.float32), w.astype(np.float32)
    want = x.reshape(rows, depth).astype(np.float64) @ w.reshape(columns, depth).astype(np.float64).T
    got = run(tf.write(file), [x], kernel_sets()[0]).reshape(rows, columns)
    half = depth // 2  # Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 23.2.2, for one level
    bound = 2.0**-24 * 18 * (half**2 + 6 * half) * float(np.abs(x).max()) * float(np.abs(w).max())
    assert np.abs(got - want).max() < bound
    assert np.linalg.norm(got - want) < 2e-6 * np.linalg.norm(want)
