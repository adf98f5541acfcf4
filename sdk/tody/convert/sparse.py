"""Which int8 weights are stored as the blocks that are not zero (docs/format.md)."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import GROUP_S8
from .graph import Graph, Node
from .rewrite import first_output

# Where blocks are faster than panels on a CPU with dot products (decision 0007). Rows fill the lanes of a vector there, and
# what it takes to bring them into place is shared by all output channels.
DENSITY = 0.55  # of blocks that are not zero, at most
ROWS = 16  # of the layer's output, at least
COLUMNS = 32  # output channels, at least
DEPTH = 8  # input channels, at least


def density(weights: NDArray[Any]) -> float:
    """The share of blocks of four input channels of weights [G, N, T, K] that are not zero."""
    padded = np.pad(weights, [(0, 0)] * 3 + [(0, -weights.shape[3] % GROUP_S8)])
    return float(padded.reshape(*padded.shape[:3], -1, GROUP_S8).any(-1).mean())


def sparse_weights(graph: Graph) -> set[str]:
    """Names of the constants that blocks suit better than panels, in every layer that takes them."""
    found: dict[str, bool] = {}
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            if name is not None and graph.values[name].pack == "panels":
                found[name] = found.get(name, True) and i == 1 and _pays(graph, node)
    return {name for name, pays in found.items() if pays}


def gains_from_blocks(graph: Graph, node: Node) -> bool:
    """Whether an operator is faster where few of its blocks are not zero."""
    shape = graph.values[node.inputs[1] or ""].shape if node.op in ("conv", "dense") else ()
    if len(shape) != 4 or shape[0] != 1:
        return False
    rows = math.prod(graph.values[first_output(node)].shape[:-1])
    return rows >= ROWS and shape[1] >= COLUMNS and shape[3] >= DEPTH


def _pays(graph: Graph, node: Node) -> bool:
    weights = graph.values[node.inputs[1] or ""]
    if weights.dtype != "int8" or weights.data is None or not gains_from_blocks(graph, node):
        return False
    return density(weights.data) <= DENSITY
