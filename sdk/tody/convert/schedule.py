"""The order of operators: among all that the graph allows, one whose fullest moment is small."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .. import format as fmt
from .graph import Graph
from .plan import plan

_WIDTH = 8  # states that are followed side by side
_NODES = 400  # above that many the order stays


@dataclass(frozen=True)
class _State:
    """Some nodes have run, in this order; `alive` bytes are still wanted, `most` were there at once."""

    done: frozenset[int]
    order: tuple[int, ...]
    alive: int
    most: int


def schedule(graph: Graph, keep_inputs: bool = True) -> None:
    """Reorder the nodes of a graph if that makes the arena smaller.

    A beam search over the sets of nodes that have run. Source of the problem: Byung Hoon Ahn et al., "Ordering chaos:
    memory-aware scheduling of irregularly wired neural networks for edge devices", 2020.
    """
    if len(graph.nodes) > _NODES:
        return
    order = _Search(graph, keep_inputs).order()
    if order == list(range(len(graph.nodes))):
        return
    other = replace(graph, nodes=[graph.nodes[i] for i in order])
    if plan(other, keep_inputs).arena_bytes < plan(graph, keep_inputs).arena_bytes:
        graph.nodes = other.nodes


class _Search:
    def __init__(self, graph: Graph, keep_inputs: bool) -> None:
        self._nodes = graph.nodes
        homes: dict[str, str] = {}  # a reshape gives its input another name
        for node in graph.nodes:
            for name in node.outputs:
                if name is not None:
                    source = node.inputs[0] or ""
                    homes[name] = homes.get(source, source) if node.op == "reshape" else name
        self._takes = [{homes.get(n, n) for n in node.inputs if n is not None} for node in graph.nodes]
        self._makes = [{n for n in node.outputs if n is not None} & set(homes.values()) for node in graph.nodes]
        self._bytes = {n: _bytes(graph, n) for names in (*self._takes, *self._makes) for n in names}
        maker = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs if name is not None}
        self._after = [{maker[n] for n in node.inputs if n in maker} for node in graph.nodes]
        self._users: dict[str, set[int]] = {}
        for i, names in enumerate(self._takes):
            for name in names:
                self._users.setdefault(name, set()).add(i)
        self._stay = {homes.get(n, n) for n in graph.outputs} | (set(graph.inputs) if keep_inputs else set())
        self._begin = sum(_bytes(graph, name) for name in graph.inputs)

    def order(self) -> list[int]:
        """The best order that was found."""
        states = [_State(frozenset(), (), self._begin, self._begin)]
        for _ in self._nodes:
            found: dict[frozenset[int], _State] = {}
            for state in states:
                for after in self._next(state):
                    other = found.get(after.done)
                    if other is None or after.most < other.most:
                        found[after.done] = after
            states = sorted(found.values(), key=lambda s: (s.most, s.alive, s.order))[:_WIDTH]
        return list(states[0].order)

    def _next(self, state: _State) -> Iterator[_State]:
        """A state for each node that can run now."""
        for i, node in enumerate(self._nodes):
            if i in state.done or not self._after[i] <= state.done:
                continue
            done = state.done | {i}
            full = state.alive + sum(self._bytes[name] for name in self._makes[i])
            gone = [n for n in self._takes[i] if n in self._users and self._users[n] <= done and n not in self._stay]
            alive = full - sum(self._bytes[name] for name in gone)
            if node.op in ("unary", "binary", "lut", "softmax") and gone:  # it writes over what goes
                full = max(state.alive, alive)
            yield _State(done, (*state.order, i), alive, max(state.most, full))


def _bytes(graph: Graph, name: str) -> int:
    value = graph.values[name]
    return 0 if value.constant else fmt.tensor_bytes(value.dtype, value.shape)
