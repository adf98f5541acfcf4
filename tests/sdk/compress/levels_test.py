"""Levels of weights: steps, rounding by what a layer sees, palettes; and the matrices that stand for each kind of layer."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tody.compress import levels, palette
from tody.compress.moments import Moments, from_matrices, matrices, positions, rows
from tody.compress.observe import Probe
from tody.convert.graph import Graph, Node, Value

Array = NDArray[Any]


def seen(columns: int, count: int, seed: int = 0) -> Moments:
    """Moments of correlated, lopsided inputs, as behind a ReLU."""
    random = np.random.default_rng(seed)
    mix = random.standard_normal((columns, columns)) * np.exp(-3 * np.arange(columns) / columns)
    moments = Moments(1, columns)
    x = np.maximum(random.standard_normal((1, count, columns)) @ mix + 0.3, 0).astype(np.float32)
    if count:
        moments.add(x, x)
    return moments


def cost(error: Array, moments: Moments) -> float:
    split = moments.split(error)
    return float(np.einsum("gnd,gde,gne->", split, moments.gram(), split))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_by_what_is_seen_costs_less(bits: int) -> None:
    moments = seen(96, 800)
    weights = np.random.default_rng(1).laplace(size=(1, 24, 96))
    step = levels.scales(weights, bits, moments.power())[..., None]
    nearest = levels.uniform(bits)
    found = levels.round_weights(weights / step, moments.gram(), nearest)
    largest = 2 ** (bits - 1) - 1
    assert (found == np.rint(found)).all() and np.abs(found).max() <= largest
    assert cost(found * step - weights, moments) < 0.7 * cost(nearest(weights / step) * step - weights, moments)
    assert np.array_equal(found, levels.round_weights(weights / step, moments.gram(), nearest))


def test_coordinate_descent_never_costs_more() -> None:
    moments = seen(70, 300, 3)
    weights = np.random.default_rng(4).standard_normal((1, 8, 70))
    step = levels.scales(weights, 3, moments.power())[..., None]
    damped = moments.gram() + levels.DAMPING * np.trace(moments.gram()[0]) / 70 * np.eye(70)
    before = np.inf
    for passes in range(4):
        error = levels.round_weights(weights / step, moments.gram(), levels.uniform(3), passes=passes) * step - weights
        now = float(np.einsum("gnd,gde,gne->", error, damped, error))
        assert now <= before * (1 + 1e-6)
        before = now


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_samples(count: int) -> None:
    """A covariance of low rank, or none at all, still rounds, and no weight strays."""
    moments = seen(32, count)
    weights = np.random.default_rng(2).standard_normal((1, 4, 32))
    step = levels.scales(weights, 8, moments.power())[..., None]
    found = levels.round_weights(weights / step, moments.gram(), levels.uniform(8))
    assert np.abs(found * step - weights).max() < 0.5
    if count < 2:
        assert np.array_equal(found, np.clip(np.rint(weights / step), -127, 127))


def test_steps_of_zero_tiny_and_huge_weights() -> None:
    weights = np.array([np.zeros(9), np.full(9, 1e-42), np.full(9, 1e30), [0] * 8 + [3]])[None]
    found = levels.scales(weights, 8)
    assert np.isfinite(found).all() and (found > np.finfo(np.float32).tiny).all()
    assert found[0, 3] == pytest.approx(3 / 127)
    assert (levels.scales(weights, 8, floor=np.full((1, 4), 0.5)) >= 0.5).all()
    steps = palette.steps(weights[:, [0, 3]])
    assert np.isfinite(steps).all() and (steps > 0).all()


def test_clips_outliers_where_that_costs_less() -> None:
    weights = np.random.default_rng(3).standard_normal((1, 1, 4000))
    weights[0, 0, 0] = 12
    assert levels.scales(weights, 4)[0, 0] < 0.7 * 12 / 7


def test_fits_weights_to_the_inputs_they_will_see() -> None:
    """Where the quantised model's input is 0.8 of the float one's, weights grow; bias makes the means equal."""
    x = np.random.default_rng(5).normal(1.0, 1.0, (1, 4000, 6)).astype(np.float32)
    moments = Moments(1, 6)
    moments.add(x, 0.8 * x)
    weights = np.random.default_rng(6).standard_normal((1, 3, 6))
    fitted = levels.refit(weights, moments, pull=0.0)
    np.testing.assert_allclose(fitted, weights / 0.8, rtol=1e-3)
    bias = levels.correct_bias(np.zeros((1, 3)), weights, fitted, moments)
    np.testing.assert_allclose((fitted @ (0.8 * x[0]).mean(0))[0] + bias, weights @ x[0].mean(0), atol=1e-5)
    assert np.abs(levels.refit(weights, moments) - weights).max() < np.abs(fitted - weights).max()


def test_steps_fit_the_levels_that_were_chosen() -> None:
    moments = seen(40, 400)
    weights = np.random.default_rng(12).standard_normal((1, 6, 40)) * 3
    found = levels.uniform(3)(weights)
    factor = levels.rescale(weights, found, moments)[..., None]
    best = cost(factor * found - weights, moments)
    assert best <= min(cost(f * factor * found - weights, moments) for f in (0.98, 1.0, 1.02)) + 1e-9
    assert best < cost(found - weights, moments)
    assert (levels.rescale(weights, np.zeros_like(found), moments) == 1).all()


def test_wide_layers_are_seen_in_blocks() -> None:
    moments = Moments(2, 5000)
    x = np.random.default_rng(7).standard_normal((2, 3, 5000)).astype(np.float32)
    moments.add(x, x)
    assert moments.gram().shape == (8, 1250, 1250)
    assert np.array_equal(moments.join(moments.split(x)), x)
    np.testing.assert_allclose(moments.power(), x.var(1), rtol=1e-4, atol=1e-4)


def test_columns_that_hardly_vary_keep_their_covariance() -> None:
    """Beside a mean of 300, a variance of 1e-6 is less than float32 tells of squares: rounding by it found no factor."""
    random = np.random.default_rng(8)
    moments = Moments(1, 96)
    samples = [(300 + 1e-3 * random.standard_normal((1, 200, 96))).astype(np.float32) for _ in range(4)]
    for x in samples:
        moments.add(x, x)
    whole = np.concatenate(samples, axis=1)[0].astype(np.float64)
    np.testing.assert_allclose(moments.gram()[0], np.cov(whole.T, bias=True), atol=1e-8)
    np.testing.assert_allclose(moments.mean_seen[0], whole.mean(0), rtol=1e-6)
    target = 20 * random.standard_normal((1, 4, 96))
    assert np.isfinite(levels.round_weights(target, moments.gram(), levels.uniform(8), levels.DAMPING * moments.scarcity)).all()


# Palettes


def exhaustive(mass: Array, count: int) -> float:
    """The least error of any division into runs."""
    at = np.arange(len(mass))

    def error(a: int, b: int) -> float:
        w = mass[a:b]
        return min(float((w * (at[a:b] - c) ** 2).sum()) for c in at[a:b]) if b > a else 0.0

    best = [error(0, n) for n in range(len(mass) + 1)]
    for _ in range(1, count):
        best = [min(best[k] + error(k, n) for k in range(n + 1)) for n in range(len(mass) + 1)]
    return best[-1]


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_is_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    mass = random.uniform(0, 1, 20) * (random.uniform(0, 1, 20) < 0.7)
    found = palette.kmeans(mass, 4)
    distance = np.square(np.arange(20)[:, None] - found[None, :]).min(1)
    assert len(found) <= 4 and (np.diff(found) > 0).all()
    assert float((mass * distance).sum()) == pytest.approx(exhaustive(mass, 4), abs=1e-9)


def test_kmeans_of_masses_far_apart() -> None:
    """Where sums lose the smaller of two masses, levels still are numbers of the range."""
    with np.errstate(all="raise"):
        found = palette.kmeans(np.geomspace(1e-30, 1e10, 255), 16)
    assert (np.diff(found) > 0).all() and found[0] >= 0 and found[-1] == 254


def test_kmeans_of_few_numbers_keeps_them() -> None:
    assert palette.kmeans(np.eye(1, 255, 9)[0], 16).tolist() == [9.0]
    assert palette.kmeans(np.ones(3), 16).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_palette_beats_even_levels(bits: int) -> None:
    weights = np.random.default_rng(8).laplace(size=(1, 32, 64)) * np.geomspace(0.01, 10, 32)[None, :, None]
    power = np.random.default_rng(9).uniform(0.5, 2, (1, 64))
    step = palette.steps(weights)
    made = palette.palette(weights, step, power, bits)
    rounded = palette.nearest(made)(weights / step[..., None])
    assert len(made) <= 2**bits and np.abs(made).max() <= 127 and set(np.unique(rounded)) <= set(made)
    even = levels.scales(weights, bits, power)[..., None]
    other = levels.uniform(bits)(weights / even) * even
    error = (power[:, None] * (rounded * step[..., None] - weights) ** 2).sum()
    assert error < (power[:, None] * (other - weights) ** 2).sum()


# Layers as matrices

WINDOW = {"kernel": (3, 2), "stride": (2, 1), "dilation": (1, 2), "pad": (1, 0, 1, 2)}
LAYERS = [
    ("conv", {**WINDOW, "groups": 2}, (2, 5, 6, 3), (1, 9, 8, 6), (1, 5, 8, 10)),
    ("dwconv", {**WINDOW, "groups": 4}, (6, 4), (1, 9, 8, 4), (1, 5, 8, 4)),
    ("deconv", {**WINDOW, "groups": 1}, (1, 5, 6, 3), (1, 4, 6, 3), (1, 7, 6, 5)),
    ("dense", {}, (1, 5, 1, 7), (3, 2, 7), (3, 2, 5)),
]


@pytest.mark.parametrize(("op", "attrs", "weights", "taken", "made"), LAYERS, ids=[case[0] for case in LAYERS])
def test_rows_times_matrices_is_the_layer(op: str, attrs: Any, weights: Any, taken: Any, made: Any) -> None:
    random = np.random.default_rng(10)
    w = random.standard_normal(weights).astype(np.float32)
    x = random.standard_normal(taken).astype(np.float32)
    node = Node(op, ["x", "w"], ["y"], {**attrs, "activation": ("none", 0.0, 0.0)})
    pack = "plain" if op == "dwconv" else "panels"
    values = {v.name: v for v in (Value("x", taken), Value("w", weights, data=w, pack=pack), Value("y", made))}
    y = Probe(Graph([node], values, ["x"], ["y"])).run({"x": x})["y"]
    matrix = matrices(node, w)
    assert np.array_equal(from_matrices(node, matrix, weights), w)
    places = positions(made, 20, np.random.default_rng(11))
    found = rows(node, x, matrix.shape[0], made, places) @ matrix.transpose(0, 2, 1)
    wanted = y.reshape(-1, made[-1])[places]
    np.testing.assert_allclose(found.transpose(1, 0, 2).reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)


def test_short_steps_are_near_and_give_multipliers_of_few_bits() -> None:
    steps = np.random.default_rng(1).uniform(1e-4, 1e-1, (2, 500)).astype(np.float32)
    short = levels.short_steps(steps, 0.37)
    np.testing.assert_allclose(short, steps, rtol=2**-8)
    assert ((short * 0.37).astype(np.float32).view(np.uint32) & 0xFFFF == 0).all()
    assert (levels.short_steps(steps, 0.0) == steps).all()


def test_short_biases_are_near_and_int16_holds_them() -> None:
    random = np.random.default_rng(4)
    steps, bias, taken, unit = random.uniform(1e-3, 1e-2, (1, 500)), random.standard_normal((1, 500)), 0.02, 0.5
    short = levels.short_biases(bias, steps, taken, unit)
    assert 0 < np.abs(short - bias).max() <= taken / unit / 32
    grain = np.exp2(np.floor(np.log2(levels._GRAIN / (steps.max() * unit))))
    whole = short / (steps * taken) / grain
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-6)
    assert 255 < np.abs(whole).max() < 32768


def test_short_biases_are_near_and_have_zeros_below() -> None:
    random = np.random.default_rng(2)
    steps, bias, taken, unit = random.uniform(1e-4, 1e-2, (1, 500)), random.standard_normal((1, 500)), 0.02, 0.5
    short = levels.short_biases(bias, steps, taken, unit)
    output = taken / unit  # the output's step
    assert 0 < np.abs(short - bias).max() <= output / 32
    whole = short / (steps * taken)
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-6)
    grain = np.exp2(np.floor(np.log2(levels._GRAIN / (steps * unit))))
    assert grain.min() > 1
    np.testing.assert_allclose(whole / grain, np.rint(whole / grain), atol=1e-6)
    assert np.abs(whole).max() > 32767 * grain.min()  # no power of two serves all channels
    assert (levels.short_biases(bias, steps, 0.0, 0.0) == bias).all()


def test_biases_that_are_coarse_already_are_whole_steps() -> None:
    bias = np.random.default_rng(3).standard_normal((1, 50))
    short = levels.short_biases(bias, np.full((1, 50), 0.5), 0.1, 1.0)
    np.testing.assert_allclose(short, 0.05 * np.rint(bias / 0.05))
