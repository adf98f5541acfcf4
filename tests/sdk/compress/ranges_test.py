"""Ranges: zero is exact whatever was seen, the methods differ as they should, and no sample decides alone."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tody.compress.observe import Spread
from tody.compress.ranges import METHODS, Range, choose, merge, quant_of


def spread(*arrays: np.ndarray) -> Spread:
    seen = Spread()
    for array in arrays:
        seen.add(array.astype(np.float32))
    return seen


def error(found: Range, x: np.ndarray) -> float:
    quant = quant_of(found.low, found.high)
    return float(np.mean((quant.dequantise(quant.quantise(x.astype(np.float32))) - x) ** 2))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 6), (-5, 0), (2, 3), (-3, -2), (-1, 255), (1e-30, 2e-30), (-1e30, 1e38), (-7.3, 0.1)]
)
def test_zero_is_exact_and_ends_are_reached(low: float, high: float) -> None:
    quant = quant_of(low, high)
    assert -128 <= quant.zero_point <= 127 and 0 < quant.scale < np.inf
    assert quant.dequantise(np.array([quant.zero_point], np.int8))[0] == 0
    if 2.0**-40 < max(-low, high) < 2.0**60:
        ends = np.array([min(low, 0), max(high, 0)], np.float32)
        assert np.abs(quant.dequantise(quant.quantise(ends)) - ends).max() <= 0.5001 * quant.scale


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_constants(method: str, value: float) -> None:
    found = choose(spread(np.full((4, 8), value)), method)
    assert found.low <= value <= found.high
    quant = quant_of(found.low, found.high)
    assert abs(float(quant.dequantise(quant.quantise(np.array([value])))[0]) - value) <= 0.01 * abs(value)


@pytest.mark.parametrize("method", ["percentile", "mse", "kl", "auto"])
def test_rare_outliers_are_cut_off(method: str) -> None:
    x = np.random.default_rng(1).standard_normal((256, 20000)) * 2
    x[0, 0] = 60.0
    whole = choose(spread(*x[:, None]), "minmax")
    assert whole.high == 60
    found = choose(spread(*x[:, None]), method)
    assert 4 < found.high < 50 and -15 < found.low <= -4
    assert error(found, np.delete(x.reshape(-1), 0)) < error(whole, np.delete(x.reshape(-1), 0))


def test_clipping_costs_more_than_rounding() -> None:
    """A range of the least squared error is wider than that error alone would have it."""
    x = np.random.default_rng(3).laplace(size=(50, 2000))
    found, high = choose(spread(x), "mse").high, np.linspace(2, x.max(), 200)
    least = high[np.argmin([error(Range(x.min(), h, "mse"), x) for h in high])]
    assert least < found < x.max()


def test_the_least_squared_error_is_found() -> None:
    x = np.random.default_rng(2).laplace(size=(50, 2000))
    found = error(choose(spread(x), "mse"), x)
    assert all(found <= 1.02 * error(choose(spread(x), method), x) for method in METHODS)


def test_what_a_function_flattens_costs_no_steps() -> None:
    x = np.random.default_rng(3).standard_normal((50, 2000)) * 4

    def relu6(values: np.ndarray) -> np.ndarray:
        return np.clip(values, 0, 6)

    found = choose(spread(x), "auto", [relu6])
    assert found.low > -2 and 5 < found.high < 8
    assert choose(spread(x), "auto", [relu6, None]).low < -5  # another consumer needs all of it


def test_weights_of_channels_count() -> None:
    x = np.random.default_rng(4).standard_normal((4000, 2)) * [1.0, 50.0]
    seen = Spread(weights=np.array([2.0, 0.0]))
    seen.add(x.astype(np.float32))
    assert choose(seen).high < 10 < choose(spread(x)).high


def test_one_strange_sample_does_not_decide_alone() -> None:
    random = np.random.default_rng(5)
    usual = [random.standard_normal((16, 64)) for _ in range(60)]
    found = choose(spread(*usual, 1000 * random.standard_normal((16, 64))))
    assert found.high < 50
    assert choose(spread(*usual)).high > 2


def test_merging_is_seeing_both() -> None:
    random = np.random.default_rng(6)
    a, b = random.standard_normal((8, 512)), 100 * random.standard_normal((8, 512))
    both = merge([spread(a), spread(b)])
    assert both.low == min(a.min(), b.min()).astype(np.float32) and both.width == spread(b).width
    assert both.counts.sum() == pytest.approx(spread(a).counts.sum() + spread(b).counts.sum())


def test_a_histogram_grows_without_losing_anything() -> None:
    small = np.linspace(-1, 1, 999)
    seen = spread(small, small * 1e3, small)
    assert seen.width * 2048 >= 1e3
    _, low, high = seen.histogram(64)
    assert low <= -1e3 and high >= 1e3
    assert seen.counts[2046:2050].sum() == pytest.approx(2 * 998 / np.mean(small**2), rel=0.1)


def test_infinities_are_told_and_left_out() -> None:
    seen = spread(np.array([[1.0, -np.inf], [2.0, 3.0]]))
    assert seen.infinite and (seen.low, seen.high) == (0, 3)
