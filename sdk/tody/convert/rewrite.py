"""What the rules share: who makes and who takes a value, new values, and the loop that applies rules until nothing changes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..run.profile import macs
from .graph import Graph, Node, Quant, Value


class Index:
    """Makers and takers of every value of a graph, as of when it was built."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = graph.producer()
        self.users = graph.consumers()
        self._outputs = set(graph.outputs)
        self._alive = {id(node) for node in graph.nodes}

    def alive(self, node: Node) -> bool:
        """Whether the node was still in the graph."""
        return id(node) in self._alive

    def maker(self, name: str | None, op: str | None = None) -> Node | None:
        """The node that makes `name`, if it is an `op`."""
        node = self.makers.get(name) if name is not None else None
        return node if node is not None and op in (None, node.op) else None

    def only_user(self, name: str | None) -> Node | None:
        """The single node that takes `name`; None if there are several or the graph gives it out."""
        if name is None or name in self._outputs:
            return None
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 else None

    def constant(self, name: str | None) -> NDArray[Any] | None:
        """The content of a constant."""
        return None if name is None else self.graph.values[name].data

    def scalar(self, name: str | None) -> float | None:
        """The value that all elements of a float32 constant share."""
        data = self.constant(name)
        if data is None or data.dtype != np.float32 or data.size == 0:
            return None
        first = data.flat[0]
        return float(first) if data.size == 1 or bool((data == first).all()) else None


_MAX_SWEEPS = 100  # rules only ever simplify; this ends a pair that should undo each other by mistake

Rule = Callable[[Index, Node], bool]


def sweep(graph: Graph, rules: Sequence[Rule]) -> bool:
    """Apply the rules to every node, again and again, until none changes anything. Returns whether one did.

    A rule looks at a node, changes the graph and says so; it may add nodes before or behind and leave dead ones. A node gets
    all it can before the next one is looked at, so that what comes first in the graph absorbs what follows.
    """
    changed = False
    for _ in range(_MAX_SWEEPS):
        again = False
        index = Index(graph)
        for node in list(graph.nodes):
            while index.alive(node) and any(rule(index, node) for rule in rules):
                again, index = True, Index(graph)
        drop_dead(graph)
        changed |= again
        if not again:
            break
    return changed


def drop_dead(graph: Graph) -> None:
    """Remove nodes that nobody needs, outputs that nobody takes, and their values."""
    needed = set(graph.outputs)
    alive: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(name for name in node.outputs if name is not None):
            continue
        if node.op != "topk":  # it has both of its outputs or none
            node.outputs = [name if i == 0 or name in needed else None for i, name in enumerate(node.outputs)]
        needed.update(name for name in node.inputs if name is not None)
        alive.append(node)
    graph.nodes = alive[::-1]
    keep = needed | set(graph.inputs) | {name for node in graph.nodes for name in node.outputs if name is not None}
    graph.values = {name: value for name, value in graph.values.items() if name in keep}


def add_constant(graph: Graph, hint: str, data: NDArray[Any], pack: str = "plain", quant: Quant | None = None) -> str:
    """A new constant; returns its name."""
    data = np.ascontiguousarray(data).reshape(data.shape)
    name = graph.fresh(hint)
    graph.values[name] = Value(name, data.shape, str(data.dtype), data, pack, quant)
    return name


def add_value(graph: Graph, hint: str, shape: tuple[int, ...], dtype: str = "float32", quant: Quant | None = None) -> str:
    """A new value that a node will make; returns its name."""
    name = graph.fresh(hint)
    graph.values[name] = Value(name, shape, dtype, quant=quant)
    return name


def insert_before(graph: Graph, at: Node, node: Node) -> None:
    """Put `node` right before `at`."""
    graph.nodes.insert(graph.nodes.index(at), node)


def insert_after(graph: Graph, at: Node, node: Node) -> None:
    """Put `node` right behind `at`."""
    graph.nodes.insert(graph.nodes.index(at) + 1, node)


def bypass(index: Index, node: Node, name: str) -> bool:
    """Let everyone who takes the node's output take `name` instead, and remove the node. Always True, for rules to return."""
    index.graph.nodes.remove(node)
    index.graph.replace_uses(first_output(node), name)
    return True


def absorb(index: Index, node: Node, user: Node) -> bool:
    """Let `node` make what its only user made, and remove that user. Always True, for rules to return."""
    node.outputs[0] = first_output(user)
    index.graph.nodes.remove(user)
    return True


def first_input(node: Node) -> str:
    """The input that every node has."""
    name = node.inputs[0]
    assert name is not None
    return name


def slot(node: Node, i: int) -> str | None:
    """Input i, which the node may not have."""
    return node.inputs[i] if i < len(node.inputs) else None


def first_output(node: Node) -> str:
    """The output that every node has."""
    name = node.outputs[0]
    assert name is not None
    return name


def node_macs(graph: Graph, node: Node) -> int:
    """Multiplications with addition in one run of a node; 0 for one that is not made of them."""
    shapes = [graph.values[name].shape if name is not None else () for name in (*node.inputs, node.outputs[0])]
    return macs(node.op, shapes[:-1], shapes[-1]) or 0
