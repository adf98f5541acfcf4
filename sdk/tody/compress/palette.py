"""Palettes: few levels for the weights of a layer, placed where its weights are, out of the 255 that int8 has.

A palette costs as many bits a weight as name its levels; the file's entropy coder finds that out by itself, and the runtime
computes with the int8 weights that the levels are. Levels come from k-means in one dimension, which dynamic programming solves
exactly (Bruce, 1965; Wang and Song, 2011). Which level each weight gets is decided by `levels.round_weights`.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .levels import DAMPING, Nearest

Array = NDArray[Any]

LARGEST = 127  # levels lie between it and its negative
_TINY = 1e-30  # keeps quotients of zeros finite


def steps(weights: Array, floor: float | Array = 0.0) -> Array:
    """A step for each output with which all outputs of a layer have weights alike, none beyond `LARGEST`.

    Args:
        weights: [groups, outputs, columns].
        floor: the smallest step allowed, [groups, outputs].

    Returns:
        [groups, outputs], float32.
    """
    size = np.sqrt(np.square(weights.astype(np.float64)).mean(-1))
    size = np.where(size > _TINY, size, 1.0)
    reach = float((np.abs(weights).max(-1) / size).max()) or 1.0
    return np.asarray(np.maximum(size * reach / LARGEST, floor)).astype(np.float32)


def palette(weights: Array, step: Array, power: Array, bits: int) -> Array:
    """The levels of a layer, by least squared error.

    Args:
        weights: [groups, outputs, columns].
        step: of each output, [groups, outputs].
        power: what the error of each column costs, [groups, columns].
        bits: at most 2 ** bits levels.

    Returns:
        [levels], integers as float32, ascending.
    """
    cost = np.maximum(power, 0) + DAMPING * power.mean() + _TINY
    mass = np.square(step.astype(np.float64))[..., None] * cost[:, None, :]
    at = np.rint(np.clip(weights / step[..., None], -LARGEST, LARGEST)).astype(np.int64) + LARGEST
    counts = np.bincount(at.reshape(-1), mass.reshape(-1), 2 * LARGEST + 1)
    return (kmeans(counts, 2**bits) - LARGEST).astype(np.float32)


def kmeans(mass: Array, count: int) -> Array:
    """Centres of at most `count` clusters of the integers 0 .. len(mass) - 1, by least squared error weighted by mass.

    Returns:
        [count or less], integers as float64, ascending.
    """
    at = np.flatnonzero(mass)
    if len(at) <= count:
        return at.astype(np.float64)
    cost, centre = _costs(at.astype(np.float64), mass[at])
    best, cuts = cost[0].copy(), []
    for _ in range(1, count):
        whole = best[:-1, None] + cost[1:]  # the last cluster begins at row + 1, and ends at column
        cuts.append(whole.argmin(0))
        best = np.minimum(best, whole.min(0))
    return _centres(centre, cuts)


def _costs(at: Array, mass: Array) -> tuple[Array, Array]:
    """Squared error and centre of a cluster of the i-th to the j-th number; infinite where j < i."""
    sums = [np.concatenate([[0.0], np.cumsum(mass * at**power)]) for power in range(3)]
    zero, one, two = (s[None, 1:] - s[:-1, None] for s in sums)
    valid = np.triu(np.ones_like(zero, bool))
    centre = np.clip(np.rint(one / np.maximum(zero, _TINY)), at[:, None], at[None, :])
    error = two - 2 * centre * one + centre**2 * zero
    return np.where(valid, np.maximum(error, 0), np.inf), centre


def _centres(centre: Array, cuts: list[Array]) -> Array:
    stop, found = centre.shape[0] - 1, []
    for cut in reversed(cuts):
        start = int(cut[stop]) + 1
        found.append(centre[start, stop])
        stop = start - 1
    return np.array([centre[0, stop], *reversed(found)])


def nearest(levels: Array) -> Nearest:
    """The nearest of some levels, [levels], ascending."""
    middles = (levels[1:] + levels[:-1]) / 2
    return lambda x: levels[np.searchsorted(middles, x)]
