"""Biases and multipliers of layers in 16 bits, where those hold them exactly: half the bytes for each output channel."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..format import BIAS, MULTIPLIERS
from .graph import Graph, Quant, Value

_MOST = 16  # bits by which a bias is shifted


def short_constants(graph: Graph) -> dict[str, Value]:
    """By name, what the file holds in place of constants that layers of integers take, and nothing else does.

    Biases become int16 with a scale, a power of two, and multipliers bfloat16: both stand for the very same numbers.
    """
    roles: dict[str, set[str]] = {}
    for node in graph.nodes:
        for place, name in enumerate(node.inputs):
            if name is not None and graph.values[name].constant:
                roles.setdefault(name, set()).add(_role(node.op, place))
    short = {"bias": _bias, "multipliers": _multipliers}
    made = {name: short[role](graph.values[name]) for name, (role, *more) in roles.items() if role in short and not more}
    return {name: value for name, value in made.items() if value is not None}


def _role(op: str, place: int) -> str:
    if op not in MULTIPLIERS:
        return ""
    return {BIAS: "bias", MULTIPLIERS[op]: "multipliers"}.get(place, "")


def _bias(value: Value) -> Value | None:
    """Of int32, as many lower bits of which are 0 as int16 lacks upper ones."""
    data = value.data
    if data is None or data.dtype != np.int32:
        return None
    common = int(np.bitwise_or.reduce(data, axis=None)) | 1 << _MOST
    shift = (common & -common).bit_length() - 1
    shorter = (data >> shift).astype(np.int16)
    if (shorter.astype(np.int64) << shift != data).any():
        return None
    return replace(value, dtype="int16", data=shorter, quant=Quant((float(1 << shift),), bits=16))


def _multipliers(value: Value) -> Value | None:
    """Of float32, the lower half of which is 0."""
    if value.data is None or value.data.dtype != np.float32:
        return None
    bits = value.data.view(np.uint32)
    return None if (bits & 0xFFFF).any() else replace(value, dtype="bfloat16", data=(bits >> 16).astype(np.uint16))
