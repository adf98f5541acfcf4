"""Weights of few significant bits, for a model that computes in float32: where integers lose too much.

The weights stay float32 numbers whose low bits are zero, which a coded file does not store (docs/decisions/0005). The rounding
is relative to each weight, so that small ones are as exact as large ones; no range is chosen and nothing is calibrated.
A constant of few numbers matters about as much as one of many, and costs less: it keeps more bits.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph

FEWEST, MOST = 5, 11  # significant bits: at the one too few models keep what they find, the other is as exact as float16


def shorten(graph: Graph, bits: int) -> None:
    """Round the float32 constants of a graph, in place: the largest to so many significant bits, others to more.

    Errors of n numbers that are rounded to b bits add up to about n / 4^b in a result. That is the same for all constants if
    one with a quarter of the numbers has one bit more: no other choice of bits makes as small a file with as small an error.
    """
    constants = [(value, value.data) for value in graph.values.values() if value.data is not None and value.dtype == "float32"]
    largest = max((data.size for _, data in constants), default=1)
    for value, data in constants:
        more = round(math.log(largest / max(data.size, 1), 4))
        value.data = significant(data, max(bits, min(bits + more, MOST)))


def significant(numbers: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """The nearest float32 numbers with so many significant bits, half to even; what would be infinite stays."""
    exact = np.asarray(numbers, np.float32)
    parts, exponents = np.frexp(exact)
    with np.errstate(over="ignore"):
        rounded = np.ldexp(np.rint(parts * np.float32(2**bits)) / np.float32(2**bits), exponents)
    return np.asarray(np.where(np.isfinite(rounded), rounded, exact), np.float32)
