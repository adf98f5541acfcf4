"""Chains of strips that make the arena as small as can be: for chips."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .graph import Graph
from .plan import moment, peaks
from .strips import Chain, links

ROWS = (8, 4, 2, 1)  # of a strip: the more, the fewer calls; the fewer, the smaller


def tight_chains(graph: Graph, keep_inputs: bool, rows: int) -> list[Chain]:
    """Chains whose fullest moment is the least, of a graph whose nodes are in their order.

    What is alive while a chain runs does not depend on other chains, so that the best cut of the nodes before each one is known
    from those before it. Source of the idea to run the first layers of a net piece by piece: Ji Lin et al., "MCUNetV2:
    memory-efficient patch-based inference for tiny deep learning", 2021. Here nothing is computed twice.

    Args:
        keep_inputs: as for `plan`.
        rows: of a strip, at most.
    """
    alone = peaks(graph, keep_inputs)
    best: list[tuple[int, int, list[Chain]]] = [(0, 0, [])]  # fullest moment, nodes in chains, chains: before each node
    for last, ending in enumerate(links(graph)):
        most, chained, chains = best[-1]
        tries = [(max(most, alone[last].bytes), chained, chains)]
        for link in ending:
            chain = link.chain(min(rows, link.height), in_place=True)
            most, chained, chains = best[link.first]
            tries.append((max(most, moment(graph, keep_inputs, chain)), chained + link.count, [*chains, chain]))
        best.append(min(tries, key=lambda t: t[:2]))
    return best[-1][2]
