"""Weights of few significant bits, for a model that computes in float32: where integers lose too much.

The weights stay float32 numbers whose low bits are zero, which a coded file does not store (docs/decisions/0005). The rounding
is relative to each weight, so that small ones are as exact as large ones; no range is chosen. Where there are samples, each
layer is rounded so that its outputs change least (`stages.py`), and its bias makes up for what its mean still changes by.
A constant of few numbers matters about as much as one of many, and costs less: it keeps more bits.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph
from ..convert.rewrite import first_output
from .levels import bits_by_size, correct_bias
from .moments import from_matrices, matrices
from .observe import Sample
from .place import LINEAR
from .stages import Layer, Progress, bias_of, correct, in_stages

FEWEST, MOST = 5, 11  # significant bits: at the one too few models keep what they find, the other is as exact as float16


def shorten(graph: Graph, bits: int, samples: Sequence[Sample] = (), stages: int = 4, progress: Progress | None = None) -> None:
    """Round the float32 constants of a graph, in place: the largest to so many significant bits, others to more.

    How many more, `bits_by_size` says.

    Args:
        samples: calibration inputs; none: each number is rounded by itself.
        stages, progress: of `in_stages`.
    """
    values, constants = graph.values, [v for v in graph.values.values() if v.data is not None and v.dtype == "float32"]
    largest = max((value.data.size for value in constants if value.data is not None), default=1)

    def bits_for(count: int) -> int:
        return bits_by_size(bits, count, largest, MOST)

    layers = [node for node in graph.nodes if node.op in LINEAR and values[node.inputs[1] or ""].constant]
    wanted = {first_output(node): bits_for(math.prod(values[node.inputs[1] or ""].shape)) for node in layers}
    done = set()
    if len(samples):
        with np.errstate(invalid="ignore"):  # of what is infinite
            for layer in in_stages(graph, graph.copy(), samples, wanted, stages, progress):
                if _shorten(graph, layer):
                    done.add(layer.nodes[0].inputs[1])
    for value in values.values():
        if value.data is not None and value.dtype == "float32" and value.name not in done:
            value.data = significant(value.data, bits_for(value.data.size))


def _shorten(graph: Graph, layer: Layer) -> bool:
    """Round the weights of a layer that has seen its inputs, and correct its biases; not if anything there is infinite.

    What is 0 stays 0.
    """
    value = graph.values[layer.nodes[0].inputs[1] or ""]
    assert value.data is not None
    weights = matrices(layer.nodes[0], value.data)
    if not (np.isfinite(weights).all() and np.isfinite(layer.moments.power()).all()):
        return False
    ones = np.ones(weights.shape[:2])
    short = layer.rounded(layer.fitted(weights), ones, partial(significant, bits=layer.bits), weights != 0)
    for node in layer.nodes:
        correct(graph, node, correct_bias(bias_of(graph, node, ones.shape), weights, short, layer.moments))
    value.data = from_matrices(layer.nodes[0], short, value.shape).astype(np.float32)
    return True


def significant(numbers: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """The nearest float32 numbers with so many significant bits, half to even; what would be infinite stays."""
    exact = np.asarray(numbers, np.float32)
    parts, exponents = np.frexp(exact)
    with np.errstate(over="ignore"):
        rounded = np.ldexp(np.rint(parts * np.float32(2**bits)) / np.float32(2**bits), exponents)
    return np.asarray(np.where(np.isfinite(rounded), rounded, exact), np.float32)
