"""Quantised constants in the form that our operators take: one scale, or for weights one per channel and no zero point."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .graph import Quant
from .operand import Array, Steps

_LEAST = 30.0  # dB, of weights to what rounding does to them; weights that would lose more stay float32


@dataclass(frozen=True)
class Weights:
    """Quantised weights in the arrangement of a primitive. `note`: what was lost, if anything."""

    integers: Array
    quant: Quant
    note: str = ""


def one_scale(steps: Steps) -> tuple[Array, Quant] | None:
    """int8 and what they stand for, where all elements have the same scale; else None."""
    scale = steps.scales.flat[0]
    low, high = int(steps.integers.min()), int(steps.integers.max())
    if (steps.scales != scale).any() or high - low > 255:
        return None
    zero = max(0, -128 - low) + min(0, 127 - high)
    return (steps.integers + zero).astype(np.int8), Quant((float(scale),), zero)


def scale_per_channel(steps: Steps, pack: str) -> Weights | None:
    """Weights with a scale for each output channel.

    A channel that reaches further than int8 from its zero point gets a coarser scale, and is rounded.

    Args:
        steps: in panels [G, N, T, K], or plain [T, C].

    Returns:
        None where a channel has several scales, where more than moving elements was done to the integers, or where rounding
        would cost too much.
    """
    axes = (2, 3) if pack == "panels" else (0,)
    if steps.integers.dtype.kind != "i" or steps.integers.ndim != (4 if pack == "panels" else 2):
        return None
    scales = steps.scales.max(axes, keepdims=True).astype(np.float64)
    if (steps.scales != scales).any():
        return None
    low, high = steps.integers.min(axes, keepdims=True), steps.integers.max(axes, keepdims=True)
    fits = (low >= -128) & (high <= 127)
    coarser = np.where(fits, 1.0, np.maximum(high, -low) / 127)
    integers = np.rint(steps.integers / coarser).astype(np.int8)
    quant = Quant(tuple((scales * coarser).astype(np.float32).reshape(-1).tolist()))
    lost = float(np.square((integers * coarser - steps.integers) * scales).sum())
    if not lost:
        return Weights(integers, quant)
    ratio = 10 * np.log10(float(np.square(steps.integers * scales).sum()) / lost)
    note = f"weights reach further than 127 from their zero point and were rounded, {ratio:.0f} dB above the loss"
    return Weights(integers, quant, note) if ratio >= _LEAST else None
