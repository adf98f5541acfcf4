"""Scales and zero points with which we round as LiteRT does.

LiteRT computes multipliers in float32, adds with integer multipliers of 21 bits, rounds halves up in a sum and away from zero
in a mean; we compute multipliers in double precision, and round halves to even (docs/format.md). Of many thousand results one
is another integer then, and a network may make much of one step. Scales a few units in the last place off make both agree, on
all inputs or on nearly all.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph import Quant
from ..operand import Array

_BITS = 20  # of the larger multiplier of a sum, besides the leading one
_REACH = 6  # units in the last place that a scale may be off
_BEYOND_HALF = 1 - 2.0**-21  # of a scale: means that are halves come out above, and nothing else moves below 8,192 elements
MOST_AVERAGED = 1 << 12  # elements of a window


def weight_scales(weights: Array, x: float, y: float) -> Array:
    """Scales of weights for which x * w / y, rounded once, is what it is with a rounding after each step."""
    wanted = weights.astype(np.float32) * np.float32(x) / np.float32(y)
    found = weights.astype(np.float32)
    for units in (0, 1, -1, 2, -2):
        tried = (wanted.astype(np.float64) * y / x).astype(np.float32)
        tried = (tried.view(np.int32) + np.int32(units)).view(np.float32)
        found = np.where(_multiplier(found, x, y) == wanted, found, tried)
    return np.where(_multiplier(found, x, y) == wanted, found, weights).astype(np.float32)


def _multiplier(weights: Array, x: float, y: float) -> Array:
    return (weights.astype(np.float64) * x / y).astype(np.float32)


def averaged(quant: Quant, is_unsigned: bool) -> tuple[Quant, Quant]:
    """Quantisations of the input and the output of an average, whose integers LiteRT averages whatever they stand for."""
    zero = -128 if is_unsigned else 0
    return Quant(quant.scales, zero), Quant((float(np.float32(quant.scale * _BEYOND_HALF)),), zero)


def sum_scales(a: Quant, b: Quant, y: Quant, minus: bool = False) -> tuple[float, float]:
    """Scales of a and b for which our sum differs least often from LiteRT's; the nearest among equals.

    Source: the rule of LiteRT is that of XNNPACK's operators vadd and vsub on int8.
    """
    x, z = (np.arange(-128, 128).reshape(shape) - q.zero_point for q, shape in ((a, (-1, 1)), (b, (1, -1))))
    wanted, units = _fixed_sum(x, z, a, b, y, minus)
    found = (a.scale, b.scale)
    least = int((_float_sum(x, z, found, y, minus) != wanted).sum())
    steps = range(-_REACH, _REACH + 1)
    for i, k in sorted(((i, k) for i in steps for k in steps), key=lambda pair: abs(pair[0]) + abs(pair[1])):
        if not least:
            break
        scales = (_off(units[0] * y.scale, i), _off(units[1] * y.scale, k))
        wrong = int((_float_sum(x, z, scales, y, minus) != wanted).sum())
        if wrong < least:
            least, found = wrong, scales
    return found


def _fixed_sum(
    x: NDArray[np.int64], z: NDArray[np.int64], a: Quant, b: Quant, y: Quant, minus: bool
) -> tuple[NDArray[np.int64], tuple[float, float]]:
    """LiteRT's sum of all pairs less the zero point, and its multipliers as numbers."""
    first, second = (float(np.float32(q.scale) / np.float32(y.scale)) for q in (a, b))
    shift = max(1, _BITS + 1 - int(np.frexp(max(first, second))[1]))
    one, other = (int(np.rint(m * 2.0**shift)) for m in (first, second))
    total = (x * one + (-z if minus else z) * other + (1 << (shift - 1))) >> shift
    return _held(total, y), (one * 2.0**-shift, other * 2.0**-shift)


def _float_sum(
    x: NDArray[np.int64], z: NDArray[np.int64], scales: tuple[float, float], y: Quant, minus: bool
) -> NDArray[np.int64]:
    """Our sum of all pairs less the zero point."""
    one, other = (np.float32(scale / y.scale) for scale in scales)
    left, right = x.astype(np.float32) * one, z.astype(np.float32) * other
    return _held(np.rint(left - right if minus else left + right), y)


def _held(total: NDArray[np.int64] | NDArray[np.float32], y: Quant) -> NDArray[np.int64]:
    return np.clip(total, -128 - y.zero_point, 127 - y.zero_point).astype(np.int64)


def _off(scale: float, units: int) -> float:
    """The float32 number some units in the last place away."""
    return float((np.float32(scale).view(np.int32) + np.int32(units)).view(np.float32))
