"""Weights of few significant bits, for a model that computes in float32: where integers lose too much.

The weights stay float32 numbers whose low bits are zero, which a coded file does not store (docs/decisions/0005). The rounding
is relative to each weight, so that small ones are as exact as large ones; no range is chosen and nothing is calibrated.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph

FEWEST, MOST = 6, 11  # significant bits: at the one too few models keep what they find, the other is as exact as float16
SMALL = 0.03  # of all numbers: the smallest constants, biases and heads among them, that keep `MOST` bits


def shorten(graph: Graph, bits: int) -> None:
    """Round the float32 constants of a graph, in place, to so many significant bits; a few small ones to `MOST`."""
    constants = [(value, value.data) for value in graph.values.values() if value.data is not None and value.dtype == "float32"]
    left = SMALL * sum(data.size for _, data in constants)
    for value, data in sorted(constants, key=lambda each: each[1].size):
        left -= data.size
        value.data = significant(data, MOST if left >= 0 else bits)


def significant(numbers: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """The nearest float32 numbers with so many significant bits, half to even; what would be infinite stays."""
    exact = np.asarray(numbers, np.float32)
    parts, exponents = np.frexp(exact)
    with np.errstate(over="ignore"):
        rounded = np.ldexp(np.rint(parts * np.float32(2**bits)) / np.float32(2**bits), exponents)
    return np.asarray(np.where(np.isfinite(rounded), rounded, exact), np.float32)
