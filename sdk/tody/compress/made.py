"""What became of a model: the file's bytes, and what the report says of its operators."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..convert.graph import Graph
from ..convert.rewrite import first_output
from .place import LINEAR
from .quantise import Quantised
from .report import BINS, Island, Layer


@dataclass
class Made:
    """A compressed model: the file's bytes, and what the report says of it."""

    content: bytes
    layers: list[Layer] = field(default_factory=list)
    islands: list[Island] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    arithmetic: str = "int8"


def islands_of(graph: Graph, made: Quantised, refused: Sequence[str]) -> list[Island]:
    """The operators that compute with real numbers, but for those that only stand between others."""
    found = []
    for node in graph.nodes:
        y = first_output(node)
        real = any(n is not None and graph.values[n].dtype == "float32" for n in (*node.inputs[:1], y))
        reason = made.reasons.get(y, "its integers would not fit" if y in made.integer else "")
        if real and reason and node.op not in ("cast", "reshape"):
            found.append(Island(node.source or y, node.op, reason))
    return found


def layers_of(made: Quantised) -> list[Layer]:
    """What became of every operator of the float graph that computes something."""
    found = []
    for node in made.reference.nodes:
        y = first_output(node)
        if node.op == "reshape" or y not in made.spreads:
            continue
        quant = made.choice.quants.get(y) if y in made.integer else None
        bits = made.bits.get(y, quant.bits if quant else 32)
        kept = made.choice.ranges.get(y) if y in made.integer else None
        seen, low, high = made.spreads[y].histogram(BINS)
        weights = made.reference.values[node.inputs[1] or ""].data if node.op in LINEAR else None
        counts, edges = np.histogram([] if weights is None else weights, BINS)
        found.append(
            Layer(
                name=y,
                op=node.op,
                bits=bits,
                sqnr_db=made.sqnr_db.get(y),
                low=None if kept is None else kept.low,
                high=None if kept is None else kept.high,
                method="" if kept is None else kept.method,
                seen=seen,
                seen_low=low,
                seen_high=high,
                weights=counts.tolist() if weights is not None else (),
                weights_low=float(edges[0]),
                weights_high=float(edges[-1]),
            )
        )
    return found
