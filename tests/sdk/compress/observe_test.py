"""What is seen of a value: no sample decides about its range alone, neither a huge one nor one that is all but zero."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from tody.compress.observe import Spread
from tody.compress.ranges import METHODS, choose


def sample(size: float, seed: int) -> np.ndarray:
    return (size * np.random.default_rng(seed).uniform(0, 1, (1, 8, 8, 4))).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", list(permutations((1e-10, 1.0, 1e-10))), ids=str)
def test_samples_of_next_to_nothing_do_not_decide(method: str, order: tuple[float, ...]) -> None:
    spread = Spread()
    for seed, size in enumerate(order):
        spread.add(sample(size, seed))
    assert choose(spread, method).high > 0.5


def test_one_huge_sample_does_not_decide() -> None:
    spread = Spread()
    for seed in range(64):
        spread.add(sample(1.0, seed))
    alone = choose(spread, "mse").high
    spread.add(sample(8.0, 64))
    assert choose(spread, "mse").high < 8 and alone == pytest.approx(1.0, rel=0.1)


def test_a_value_that_is_always_zero_has_no_histogram() -> None:
    spread = Spread()
    for _ in range(3):
        spread.add(np.zeros((1, 4), np.float32))
    assert not spread.counts.any() and choose(spread).high == 0
