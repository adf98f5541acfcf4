"""Pairs of casts, which say that a value is quantised (graph.py): what importers of quantised models write."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .builder import Builder
from .graph import Quant, Value
from .operand import Operand

FLIP = np.arange(-128, 128, dtype=np.int8) ^ np.int8(-128)  # table of a `lut`: uint8 to int8 and back, by the top bit


def quantise(b: Builder, x: Operand, quant: Quant) -> Operand:
    """The integers of a float32 operand, as an int8 operand."""
    name = _value(b, x.shape, "int8", quant)
    b.append("cast", [b.value(x)], [name])
    return Operand(x.shape, "int8", name)


def dequantise(b: Builder, q: Operand) -> Operand:
    """The float32 numbers for which the integers of an int8 operand stand."""
    return b.emit("cast", [q], q.shape, "float32")


def constant(b: Builder, integers: NDArray[np.int8], quant: Quant, pack: str = "plain") -> Operand:
    """Quantised numbers that are known, as a float32 operand. Weights are in the arrangement of their operator."""
    b.claim(integers.shape)
    name = _value(b, integers.shape, "int8", quant)
    b.graph.values[name].data, b.graph.values[name].pack = np.ascontiguousarray(integers), pack
    real = dequantise(b, Operand(integers.shape, "int8", name))
    b.graph.values[real.name].pack = pack
    return real


def from_uint8(b: Builder, x: str, shape: tuple[int, ...], quant: Quant) -> Operand:
    """The int8 operand that stands for the same numbers as a uint8 value: q - 128.

    Args:
        x: name of the uint8 value.
        quant: of the result.
    """
    low = _value(b, shape, "int8")
    b.append("cast", [x], [low])
    return Operand(shape, "int8", _flipped(b, low, shape, quant))


def to_uint8(b: Builder, q: Operand) -> Operand:
    """The other way round."""
    flipped = _flipped(b, b.value(q), q.shape, None)
    name = _value(b, q.shape, "uint8")
    b.append("cast", [flipped], [name])
    return Operand(q.shape, "uint8", name)


def _flipped(b: Builder, x: str, shape: tuple[int, ...], quant: Quant | None) -> str:
    table, y = _value(b, FLIP.shape, "int8"), _value(b, shape, "int8", quant)
    b.graph.values[table].data = FLIP
    b.append("lut", [x, table], [y])
    return y


def _value(b: Builder, shape: tuple[int, ...], dtype: str, quant: Quant | None = None) -> str:
    b.claim(shape)
    name = b.fresh(b.hint)
    b.graph.values[name] = Value(name, tuple(shape), dtype, quant=quant)
    return name
