"""Which layers are computed with fewer multiplications, by Winograd's or Strassen's way, within the memory that there is."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Set

from .graph import Graph
from .strassen import strassen_ways
from .winograd import Way, winograd_ways

LEAST_LIMIT = 1 << 20  # bytes of what is made of weights that every model may have
LEAST_SAVING = 1.25  # multiply-adds for each further byte by Winograd's way: memory takes time too, when a model is loaded


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
    chosen = _choose(winograd_ways(graph), limit, LEAST_SAVING)
    products = {name: ways for name, ways in strassen_ways(graph).items() if name not in chained}
    chosen |= _choose(products, limit - sum(way.bytes for way in chosen.values()))
    return {name: way.tile for name, way in chosen.items() if way.tile}


def _choose(layers: dict[str, list[Way]], limit: int, least: float = 0.0) -> dict[str, Way]:
    """A way for each, within so many bytes: step by step the one that saves most for each byte, which has to be more than
    `least` where it is not among the first LEAST_LIMIT of them."""
    chosen = {name: ways[0] for name, ways in layers.items()}
    while True:
        taken = sum(way.bytes for way in chosen.values())
        steps = []
        for name, now in chosen.items():
            for way in layers[name]:
                more = way.bytes - now.bytes
                saving = (now.cost - way.cost) / more if more > 0 else 0.0
                if taken + more <= limit and saving > (0.0 if taken + more <= LEAST_LIMIT else least):
                    steps.append((saving, name, way))
        if not steps:
            return chosen
        _, name, way = max(steps, key=lambda step: step[0])
        chosen[name] = way
