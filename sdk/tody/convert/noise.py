"""How far a source model's outputs move by rounding alone: the yardstick where an output's range is too small to be one."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import golden
from .nodes import tensor_array
from .verify import Array

if TYPE_CHECKING:
    from .source import Source

SEEDS = (11, 12, 13)
UNITS = 8  # in the last place: about what another order of a sum of some hundred terms does


def noise(source: Source, arrays: Mapping[str, Array], names: list[str], expected: list[Array]) -> dict[str, float]:
    """The largest absolute change of each output when weights and inputs move by `UNITS` in the last place.

    On made-up inputs, all scores of a detector may be near 1e-6, and those of a classifier equal but for the last digits: 1e-4
    of such a range says nothing about a conversion, unless the source itself is more exact than that.

    Args:
        source: the model.
        arrays: every input by name.
        names: of the outputs.
        expected: what the source computes from `arrays`.
    """
    found = dict.fromkeys(names, 0.0)
    for seed in SEEDS:
        moved = {name: nudged(array, seed) for name, array in arrays.items()}
        results, _ = source.nudged(seed).reference(moved, names)
        for name, a, b in zip(names, expected, results, strict=True):
            if a.dtype.kind == "f" and a.shape == b.shape:
                change = np.abs(a.astype(np.float64) - b.astype(np.float64))
                found[name] = max(found[name], float(np.max(change[np.isfinite(change)], initial=0.0)))
    return found


def nudged(array: Array, seed: int) -> Array:
    """The array with every number up or down by `UNITS` in the last place; integers as they are."""
    if array.dtype.kind != "f":
        return array
    signs = np.where(golden.splitmix64(seed, array.shape, -1, 1) < 0, -UNITS, UNITS)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((array * (1 + signs * np.finfo(array.dtype).eps)).astype(array.dtype))


def nudged_model(model: Any, seed: int) -> Any:
    """A copy of an onnx.ModelProto whose weights and scales of quantisation are nudged.

    Other numbers stay: shapes may follow from them.
    """
    from onnx import numpy_helper

    copy = type(model)()
    copy.CopyFrom(model)
    scales = {node.input[1] for node in copy.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    for tensor in _tensors(copy.graph):
        if len(tensor.dims) >= 2 or tensor.name in scales:
            data = tensor_array(tensor)
            if data.dtype in (np.float32, np.float16):
                tensor.CopyFrom(numpy_helper.from_array(nudged(data, seed), tensor.name))
    return copy


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor that a graph and the graphs inside it hold."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            inner = [attribute.g] if attribute.HasField("g") else attribute.graphs
            for body in inner:
                yield from _tensors(body)
