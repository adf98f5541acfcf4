"""Choose what the 256 integers of an activation stand for, from what was seen of it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Quant
from .observe import HALF_BINS, Spread

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

METHODS = ("auto", "minmax", "percentile", "mse", "kl")
STEPS = 255
CLIPPED = 4.0  # times what rounding counts: errors of clipping have one sign, and gather where those of rounding cancel
SMALLEST, LARGEST = 2.0**-60, 2.0**60  # of a scale: products and quotients of them stay normal numbers
_TAIL = 1e-4  # of the elements that "percentile" leaves outside, on each side
_PERCENTILES = (1e-3, 1e-4, 1e-5)  # that "auto" considers
_SHRINK = np.concatenate([np.linspace(1.0, 0.5, 26), np.linspace(0.475, 0.05, 18)])  # parts of a range that are tried


@dataclass(frozen=True)
class Range:
    """The real numbers between which a value is kept, and how they were chosen."""

    low: float
    high: float
    method: str


HEADROOM = 2.0  # of 16 bits, above what was seen: one bit for values that nothing clips, since other pictures reach further


def quant_of(low: float, high: float, bits: int = 8) -> Quant:
    """Scale and zero point for a range, which is widened to hold zero: zero is always exact.

    Integers of 16 bits are symmetric, and reach further than the range by `HEADROOM`.

    Whatever the range is, the scale is a normal float32 number: a value that is always zero has scale 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Quant((1.0,), -128 if bits == 8 else 0, bits)
    if bits == 16:
        reach = HEADROOM * max(-low, high) / 32767
        return Quant((float(np.float32(min(max(reach, SMALLEST), LARGEST))),), bits=bits)
    scale = float(np.float32(min(max((high - low) / STEPS, SMALLEST), LARGEST)))
    return Quant((scale,), int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def merge(spreads: Sequence[Spread]) -> Spread:
    """What was seen of several values that shall have one quantisation, each with the weight of its elements."""
    whole = Spread()
    whole.low, whole.high = min(s.low for s in spreads), max(s.high for s in spreads)
    whole.width = max(s.width for s in spreads)
    for spread in spreads:
        counts, width = spread.counts, spread.width
        while 0 < width < whole.width:
            wide = np.zeros_like(counts)
            wide[HALF_BINS // 2 : HALF_BINS // 2 * 3] = counts.reshape(-1, 2).sum(axis=1)
            counts, width = wide, width * 2
        whole.counts = whole.counts + counts
    return whole


def choose(spread: Spread, method: str = "auto", functions: Sequence[Function | None] = ()) -> Range:
    """The range of one value, or of several merged.

    "minmax" keeps everything; "percentile" all but one element of 10,000 on each side; "kl" loses the least information about
    the distribution (Migacz 2017); "mse" makes the smallest squared error, in which clipping counts `CLIPPED` times. "auto"
    considers all of them, and keeps what has the smallest error where the value is used: each element counts as its channel's
    weights say (`Spread.weights`), and behind a function of one value it is the error of the function's result: what a sigmoid
    or hard-swish flattens costs no steps.

    Args:
        spread: of the value.
        method: one of METHODS.
        functions: those that take the value, None for any other consumer; none: the value is used as it is.
    """
    full = Range(min(spread.low, 0.0), max(spread.high, 0.0), "minmax")
    if method == "minmax" or full.low == full.high or not spread.counts.any():
        return full
    if method == "percentile":
        return _percentile(spread, full, _TAIL)
    if method == "kl":
        return _divergence(spread, full)
    error = _Error(spread, functions if method == "auto" else ())
    best = _search(error, full)
    if method == "mse":
        return best
    rivals = [full, _divergence(spread, full), *(_percentile(spread, full, tail) for tail in _PERCENTILES), best]
    return min(rivals, key=lambda r: error(np.array([r.low]), np.array([r.high]))[0])


class _Error:
    """Expected squared error of ranges, where the value is used; that of clipping counts `CLIPPED` times."""

    def __init__(self, spread: Spread, functions: Sequence[Function | None]) -> None:
        used = np.flatnonzero(spread.counts)
        self._x = (used - HALF_BINS + 0.5) * spread.width
        self._n = spread.counts[used]
        self._functions = list(functions) or [None]
        self._step = spread.width / 2
        self._clip = np.clip(self._x, spread.low, spread.high)

    def __call__(self, low: Floats, high: Floats) -> Floats:
        """The error of each of the ranges: of rounding inside (a twelfth of the squared step) and of clipping outside."""
        errors: Floats = np.sum([self._of(f, low[:, None], high[:, None]) for f in self._functions], axis=0)
        return errors

    def _of(self, f: Function | None, low: Floats, high: Floats) -> Floats:
        scale = (high - low) / STEPS
        x = self._clip[None, :]
        kept = np.clip(x, low, high)
        if f is None:
            rounding, clipping = np.square(scale) / 12, np.square(x - kept)
        else:
            slope = (f(self._clip + self._step) - f(self._clip - self._step)) / (2 * self._step)
            rounding, clipping = np.square(slope * scale) / 12, np.square(f(self._clip) - f(kept))
        errors: Floats = np.einsum("rx,x->r", np.where(x == kept, rounding, CLIPPED * clipping), self._n)
        return errors


def _search(error: _Error, full: Range) -> Range:
    """The range with the smallest error, one end after the other."""
    low, high = full.low, full.high
    for _ in range(2):
        for end in ("high", "low"):
            lows = np.full(_SHRINK.size, low) if end == "high" else full.low * _SHRINK
            highs = full.high * _SHRINK if end == "high" else np.full(_SHRINK.size, high)
            best = int(np.argmin(error(lows, highs)))
            low, high = float(lows[best]), float(highs[best])
    return Range(low, high, "mse")


def _percentile(spread: Spread, full: Range, tail: float) -> Range:
    edges = (np.arange(2 * HALF_BINS + 1) - HALF_BINS) * spread.width
    share = np.cumsum(spread.counts) / spread.counts.sum()
    low, high = edges[np.searchsorted(share, tail, "right")], edges[np.searchsorted(share, 1 - tail) + 1]
    return Range(min(max(float(low), full.low), 0.0), max(min(float(high), full.high), 0.0), "percentile")


def _divergence(spread: Spread, full: Range) -> Range:
    """The ends for which the quantised distribution tells the least less than the true one, first the upper, then the lower.

    Migacz: 8-bit inference with TensorRT (2017), for two ends. What is clipped is counted in the outermost bins of the true
    distribution and not in the quantised one.
    """
    high = min((full.high * part for part in _SHRINK), key=lambda high: _loss(spread, full.low, high))
    low = min((full.low * part for part in _SHRINK), key=lambda low: _loss(spread, low, high))
    return Range(float(low), float(high), "kl")


def _loss(spread: Spread, low: float, high: float) -> float:
    """What a range loses of the information in the distribution."""
    centres = (np.arange(2 * HALF_BINS) - HALF_BINS + 0.5) * spread.width
    inside = (centres >= low) & (centres <= high)
    counts = spread.counts[inside]
    if high <= low or not counts.any():
        return float("inf")
    true = counts.copy()
    true[0] += spread.counts[centres < low].sum()
    true[-1] += spread.counts[centres > high].sum()
    level = np.rint((centres[inside] - low) / ((high - low) / STEPS)).astype(np.int64)
    mass, filled = np.bincount(level, counts, STEPS + 1), np.bincount(level, counts > 0, STEPS + 1)
    told = np.where(counts > 0, mass[level] / np.maximum(filled[level], 1), 0)
    return _information(true / true.sum(), told / told.sum())


def _information(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence; what q lacks costs as if it had next to nothing there."""
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-10))))
