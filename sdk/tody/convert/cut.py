"""A minimum cut: the cheapest way to part the nodes of a network in two."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import deque
from collections.abc import Hashable

SOURCE, SINK = "source", "sink"


class Network:
    """A directed network with capacities. `cut` parts it so that the edges from the source's part to the sink's cost least."""

    def __init__(self) -> None:
        self._left: dict[Hashable, dict[Hashable, float]] = {SOURCE: {}, SINK: {}}

    def edge(self, a: Hashable, b: Hashable, capacity: float) -> None:
        """Cutting a from b (a on the source's side, b on the sink's) costs `capacity`; several edges add up."""
        if a != b:
            self._left.setdefault(a, {})
            self._left[a][b] = self._left[a].get(b, 0.0) + capacity
            self._left.setdefault(b, {}).setdefault(a, 0.0)

    def cut(self) -> tuple[float, set[Hashable]]:
        """The least cost, and the nodes on the source's side (the fewest that reach it).

        Source: J. Edmonds and R. Karp, "Theoretical improvements in algorithmic efficiency for network flow problems", 1972.
        """
        total = 0.0
        while True:
            came = self._search()
            if SINK not in came:
                return total, set(came)
            total += self._augment(came)

    def _search(self) -> dict[Hashable, Hashable]:
        """Breadth first from the source along edges with capacity left: each node reached, and from where."""
        came: dict[Hashable, Hashable] = {SOURCE: SOURCE}
        todo: deque[Hashable] = deque([SOURCE])
        while todo and SINK not in came:
            at = todo.popleft()
            for to, capacity in self._left[at].items():
                if capacity > 0 and to not in came:
                    came[to] = at
                    todo.append(to)
        return came

    def _augment(self, came: dict[Hashable, Hashable]) -> float:
        path: list[tuple[Hashable, Hashable]] = []
        at: Hashable = SINK
        while at != SOURCE:
            path.append((came[at], at))
            at = came[at]
        amount = min(self._left[a][b] for a, b in path)
        for a, b in path:
            self._left[a][b] -= amount
            self._left[b][a] += amount
        return amount
