"""Round a layer's weights so that what it computes changes least, not each weight by itself.

With H the covariance of a layer's inputs, an error e of one output's weights costs e H e'. Rounding column by column, and
letting the columns to come make up for the error so far, is Babai's nearest plane (GPTQ: Frantar et al., 2022); going over all
columns again, each moved to its best level given the others, until nothing moves, is cyclic coordinate descent (QuantEase:
Behdin et al., 2023). Both are plain linear algebra (`linear.py`) and give the same weights every time.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .linear import cholesky, product, solve
from .moments import Moments

Array = NDArray[Any]
Nearest = Callable[[Array], Array]  # numbers -> the level nearest to each

DAMPING = 0.01  # of the mean of the diagonal, added to it, where there are rows enough
PULL = 0.1  # the same towards the float weights when they are fitted anew to quantised inputs
_GRAIN = 1 / 16  # of an output step, of biases: rounding to it adds 0.02 dB to the noise of rounding the output
_BLOCK = 64  # columns between two updates of everything else
_SHRINK = np.linspace(1.0, 0.4, 61)  # tried fractions of the range that holds every weight


def symmetric(bits: int) -> int:
    """The largest level of a weight: levels are symmetric around 0."""
    if not 2 <= bits <= 16:
        raise ValueError(f"weights have 2 to 16 bits, not {bits}")
    return int(2 ** (bits - 1) - 1)


def bits_by_size(bits: int, count: int, largest: int, most: int) -> int:
    """Bits for `count` weights beside the `largest` number of them in one layer, which has so many `bits`; `most` is the limit.

    Errors of n weights that are rounded to b bits add up to about n / 4^b in a result. That is the same for all layers if one
    with a quarter of the weights has one bit more: no other choice of bits makes as small a file with as small an error.
    """
    return max(bits, min(bits + round(math.log(largest / max(count, 1), 4)), most))


def uniform(bits: int) -> Nearest:
    """Evenly spaced levels, as many as so many bits hold."""
    largest = symmetric(bits)
    return lambda x: np.clip(np.rint(x), -largest, largest)


def scales(weights: Array, bits: int, power: Array | None = None, floor: float | Array = 0.0) -> Array:
    """The step of each output's weights, by least squared error over a grid of clipping ranges.

    Args:
        weights: [groups, outputs, columns].
        bits: 2 to 16.
        power: what the error of each column costs, [groups, columns]; None: all the same.
        floor: the smallest step allowed, [groups, outputs]: a bias divided by it must fit into int32.

    Returns:
        [groups, outputs], float32; 1 for outputs whose weights are all zero.
    """
    largest = symmetric(bits)
    cost = np.ones((1, 1, 1)) if power is None else np.maximum(power, 0)[:, None, :] + DAMPING * power.mean() + 1e-30
    whole = np.abs(weights).max(-1, initial=0) / largest
    whole = np.maximum(np.where(whole > np.finfo(np.float32).tiny * 256, whole, 1.0), floor)
    best, least = whole.astype(np.float32), np.full(whole.shape, np.inf)
    for fraction in _SHRINK:
        step = np.maximum(whole * fraction, floor).astype(np.float32)
        levels = np.clip(np.rint(weights / step[..., None]), -largest, largest)
        error = (cost * (levels * step[..., None] - weights) ** 2).sum(-1)
        better = error < least
        best, least = np.where(better, step, best), np.where(better, error, least)
    return best


def short_steps(steps: Array, unit: float) -> Array:
    """Steps near these whose multipliers, `unit` times the step, have 8 significant bits: bfloat16 holds them.

    A step that is off by 2^-9 costs nothing, because the weights are rounded after it was chosen. Returns float64.
    """
    wide = steps.astype(np.float64)
    if unit == 0:
        return wide
    fraction, exponent = np.frexp(wide * unit)
    return np.asarray(np.ldexp(np.rint(fraction * 256) / 256, exponent) / unit)


def short_biases(bias: Array, steps: Array, taken: float, unit: float) -> Array:
    """Biases near these, multiples of 1/32 to 1/16 of an output step: their lower bits are zeros, which are coded in less, and
    where the channels of a layer are not too unequal int16 holds what is left (`convert/short.py`).

    Args:
        bias: [groups, outputs].
        steps: of the weights, likewise.
        taken: step of the layer's input.
        unit: that by the step of its output; 0 if it has none.
    """
    if unit == 0:
        return bias
    grain = np.exp2(np.maximum(np.floor(np.log2(_GRAIN / (steps.astype(np.float64) * unit))), 0)) * steps * taken
    return np.asarray(np.rint(bias / grain) * grain)


def refit(weights: Array, moments: Moments, pull: float = PULL) -> Array:
    """Weights that give the float32 model's outputs on the quantised model's inputs: ridge regression towards the old ones.

    Args:
        weights: [groups, outputs, columns].
        moments: of the layer's inputs.
        pull: weight of the old ones, relative to the mean variance of a column; more where rows are scarce.

    Returns:
        As `weights`, float64.
    """
    gram, cross = moments.gram(), moments.cross()
    old = moments.split(weights.astype(np.float64))
    drift = product(cross - gram, old.transpose(0, 2, 1))
    change = solve(_damped(gram, pull * moments.scarcity), drift)
    return moments.join(old + change.transpose(0, 2, 1))


def round_weights(
    target: Array, gram: Array, nearest: Nearest, damping: float = DAMPING, passes: int = 3, kept: Array | None = None
) -> Array:
    """Levels that are close to `target` as the layer's outputs see it.

    Args:
        target: weights in units of their steps, [blocks, outputs, columns].
        gram: covariance of the columns, [blocks, columns, columns]; may have any rank.
        nearest: the level of each weight.
        damping: part of the mean of the diagonal that is added to it, so that directions that were not seen count too.
        passes: of coordinate descent behind the first rounding; ends early when nothing moves.
        kept: which weights are not to be 0, as `target`; the others make up for those that are. None: all.

    Returns:
        Levels as `nearest` gives them, float32, [blocks, outputs, columns].
    """
    order = np.argsort(np.einsum("gdd->gd", gram), axis=1, kind="stable")
    each = np.arange(len(gram))[:, None, None]
    damped = _damped(gram, damping)[each, order[:, :, None], order[:, None, :]]
    wanted = np.take_along_axis(target.astype(np.float32), order[:, None, :], 2)
    mask = np.ones_like(wanted) if kept is None else np.take_along_axis(kept.astype(np.float32), order[:, None, :], 2)
    levels = _feed_back(wanted, cholesky(damped).astype(np.float32), nearest, mask)
    damped = damped.astype(np.float32)
    for _ in range(passes):
        if not _descend(levels, wanted, damped, nearest, mask):
            break
    return np.take_along_axis(levels, np.argsort(order, axis=1)[:, None, :], 2)


def rescale(weights: Array, levels: Array, moments: Moments) -> Array:
    """By how much to change the step of each output so that its levels serve best: least squares, [groups, outputs].

    Args:
        weights: in units of the old steps, [groups, outputs, columns].
        levels: what became of them.
        moments: of the layer's inputs.
    """
    made, gram = moments.split(levels.astype(np.float64)), moments.gram()
    seen = moments.join(product(made, gram))
    own, wanted = (seen * levels).sum(-1), (seen * weights).sum(-1)
    return np.asarray(np.where((own > 0) & (wanted > 0.5 * own) & (wanted < 2 * own), wanted / np.where(own > 0, own, 1), 1.0))


def correct_bias(bias: Array, weights: Array, rounded: Array, moments: Moments) -> Array:
    """The bias with which the layer's mean outputs are those of the float32 model.

    Args:
        bias: [groups, outputs].
        weights, rounded: before and after, as real numbers, [groups, outputs, columns].
        moments: of the layer's inputs.
    """
    before = np.einsum("gnd,gd->gn", weights.astype(np.float64), moments.mean)
    return np.asarray(bias + before - np.einsum("gnd,gd->gn", rounded, moments.mean_seen))


def _damped(gram: Array, part: float) -> Array:
    """Matrices with so much of the mean of their diagonal added to it; with 1 where nothing varies."""
    mean = np.einsum("gdd->g", gram) / gram.shape[-1]
    damped: Array = gram.copy()
    np.einsum("gdd->gd", damped)[...] += np.where(mean > 0, part * mean, 1.0)[:, None]
    return damped


def _feed_back(target: Array, factor: Array, nearest: Nearest, mask: Array) -> Array:
    """Round columns from the last to the first, each after it has made up for the errors of those before.

    Args:
        factor: the lower Cholesky factor of the covariance.
        mask: 0 where a level is to be 0, else 1.
    """
    levels, owed = np.empty_like(target), np.zeros_like(target)
    for stop in range(target.shape[2], 0, -_BLOCK):
        start = max(0, stop - _BLOCK)
        for j in range(stop - 1, start - 1, -1):
            levels[:, :, j] = mask[:, :, j] * nearest(target[:, :, j] - owed[:, :, j] / factor[:, j, j, None])
            error = levels[:, :, j] - target[:, :, j]
            owed[:, :, start:j] += error[:, :, None] * factor[:, None, j, start:j]
        errors = levels[:, :, start:stop] - target[:, :, start:stop]
        owed[:, :, :start] += product(errors, factor[:, start:stop, :start])
    return levels


def _descend(levels: Array, target: Array, gram: Array, nearest: Nearest, mask: Array) -> bool:
    """One pass over all columns in place; returns whether a level changed."""
    slope = product(levels - target, gram)
    moved = False
    for start in range(0, levels.shape[2], _BLOCK):
        stop = min(start + _BLOCK, levels.shape[2])
        before = levels[:, :, start:stop].copy()
        near = gram[:, start:stop, start:stop]
        local = slope[:, :, start:stop].copy()
        for j in range(stop - start):
            old = levels[:, :, start + j]
            new = mask[:, :, start + j] * nearest(old - local[:, :, j] / near[:, j, j, None])
            change = new - old
            if change.any():
                levels[:, :, start + j] = new
                local += change[:, :, None] * near[:, None, j, :]
                moved = True
        slope += product(levels[:, :, start:stop] - before, gram[:, start:stop, :])
    return moved
