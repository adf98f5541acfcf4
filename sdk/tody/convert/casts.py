"""uint8 that is quantised, as int8: the same numbers with the top bit the other way, and zero points lower by 128."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .builder import Builder
from .graph import Quant, Value
from .operand import Operand

SHIFT = 128
_FLIP = np.arange(-128, 128, dtype=np.int8) ^ np.int8(-128)  # table of a `lut`


def from_uint8(b: Builder, x: Operand, quant: Quant) -> Operand:
    """The int8 operand that stands for the same numbers as a uint8 one (its value, or the graph's input behind it).

    Args:
        quant: of the result.
    """
    low = _value(b, x.shape, "int8")
    b.append("cast", [x.raw or b.value(x)], [low])
    return Operand(x.shape, "int8", _flipped(b, low, x.shape, quant))


def to_uint8(b: Builder, q: Operand) -> Operand:
    """The other way round."""
    flipped = _flipped(b, b.value(q), q.shape, None)
    name = _value(b, q.shape, "uint8")
    b.append("cast", [flipped], [name])
    return Operand(q.shape, "uint8", name)


def _flipped(b: Builder, x: str, shape: tuple[int, ...], quant: Quant | None) -> str:
    table, y = _value(b, _FLIP.shape, "int8"), _value(b, shape, "int8", quant)
    b.graph.values[table].data = _FLIP
    b.append("lut", [x, table], [y])
    return y


def _value(b: Builder, shape: tuple[int, ...], dtype: str, quant: Quant | None = None) -> str:
    b.claim(shape)
    name = b.fresh(b.hint)
    b.graph.values[name] = Value(name, tuple(shape), dtype, quant=quant)
    return name
