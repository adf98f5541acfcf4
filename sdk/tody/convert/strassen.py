"""Which products of float32 go by Strassen's way: seven products of quarters for eight (docs/format.md, decision 0017).

What it saves, an eighth of the multiplications, grows with rows, depth and columns; what it costs, sums of rows and of results,
with two of the three. Costs are in multiply-adds, as in winograd.py, those of the kernel set that gains most; others decline
what does not pay for them. Sums of weights, as many as there are weights, take memory while a model is loaded, and a product
reads 7/4 of what it read.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

from ..format import PANEL, QUARTERS
from .graph import Graph, Node
from .rewrite import first_output
from .winograd import Way, sole_users

# For each value of the rows, of the result, and of an addend, by AVX2 and NEON. AVX-512 takes half as many again.
ROW_MACS, RESULT_MACS, ADDEND_MACS = 10, 14, 12
WEIGHT_MACS = 1  # for reading the sums of a weight; more where these come from memory
GAIN = 1.04  # what a product must cost directly over what it costs so
ADDEND = 3  # which input it is
LEAST_ROWS = 32  # fewer do not fill two kernels' tiles


def strassen_ways(graph: Graph) -> dict[str, list[Way]]:
    """Both ways of each product that gains by it, and whose weights nothing else takes, the direct one first."""
    ways = {name: _ways(graph, node) for name, node in sole_users(graph).items() if _has_quarters(graph, node)}
    return {name: both for name, both in ways.items() if GAIN * both[1].cost < both[0].cost}


def _has_quarters(graph: Graph, node: Node) -> bool:
    weights = graph.values[node.inputs[1] or ""]
    if node.op not in ("conv", "dense") or weights.dtype != "float32":
        return False
    groups, columns, taps, depth = weights.shape
    return groups == taps == 1 and columns % (2 * PANEL) == depth % (2 * PANEL) == 0


def _ways(graph: Graph, node: Node) -> list[Way]:
    _, columns, _, depth = graph.values[node.inputs[1] or ""].shape
    rows, products = math.prod(graph.values[first_output(node)].shape[:-1]), columns * depth
    direct = Way(0, rows * products, 0)
    if rows < LEAST_ROWS:
        return [direct, direct]
    result = RESULT_MACS + (ADDEND_MACS if len(node.inputs) > ADDEND and node.inputs[ADDEND] else 0)
    sums = rows * (ROW_MACS * depth + result * columns) + WEIGHT_MACS * products
    return [direct, Way(QUARTERS, rows * products * 7 // 8 + sums, 4 * products)]
