"""Which layers are computed with fewer multiplications, by Winograd's or Strassen's way, within the memory that there is."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Set

from .graph import Graph
from .strassen import strassen_ways
from .winograd import Way, winograd_ways

LEAST_LIMIT = 1 << 20  # bytes of what is made of weights that every model may have
LEAST_SAVING = 0.75  # multiply-adds for each of these bytes: what saves less does not take memory


def tilings(graph: Graph, arena_bytes: int, chained: Set[str] = frozenset()) -> dict[str, int]:
    """Names of the weights of layers that pay, and what `format.Tensor.tile` is to say of them.

    What is made of weights takes at most as much memory as all weights and a third of the arena. Winograd's way goes
    first, because it saves more.

    Args:
        graph: as it will be stored.
        arena_bytes: what the plan takes.
        chained: weights of layers that run by strips, which Strassen's way does not go with.
    """
    weight_bytes = sum(value.data.nbytes for value in graph.values.values() if value.data is not None)
    limit = max(weight_bytes + arena_bytes // 3, LEAST_LIMIT)
    chosen = _choose(winograd_ways(graph), limit)
    products = {name: ways for name, ways in strassen_ways(graph).items() if name not in chained}
    chosen |= _choose(products, limit - sum(way.bytes for way in chosen.values()))
    return {name: way.tile for name, way in chosen.items() if way.tile}


def _choose(layers: dict[str, list[Way]], limit: int) -> dict[str, Way]:
    """A way for each, within so many bytes: step by step the one that saves most for each byte."""
    chosen = {name: ways[0] for name, ways in layers.items()}
    while True:
        left = limit - sum(way.bytes for way in chosen.values())
        steps = [
            ((now.cost - way.cost) / (way.bytes - now.bytes), name, way)
            for name, now in chosen.items()
            for way in layers[name]
            if 0 < way.bytes - now.bytes <= left
        ]
        steps = [step for step in steps if step[0] >= LEAST_SAVING]
        if not steps:
            return chosen
        _, name, way = max(steps, key=lambda step: step[0])
        chosen[name] = way
