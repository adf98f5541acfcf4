"""The memory plan: where in the arena each value lies, decided once, on the laptop."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .. import format as fmt
from .graph import Graph, Node
from .strips import Chain

_ELEMENTWISE = ("unary", "lut", "softmax")  # of one input; softmax reads a row, or keeps it in scratch, before it writes one
_SHUFFLES = 200  # random orders, at most, to find a smaller plan; fewer of many buffers
_PAIRS = 2_000_000  # of buffers that are compared in all of them


@dataclass(eq=False)
class Buffer:
    """Memory for one value, or for several that share it. Alive from node `first` to node `last`, both included.

    `over`: one that it may begin with, at the moment at which that one ends and this one begins.
    """

    name: str
    bytes: int
    first: int
    last: int
    members: list[str] = field(default_factory=list)
    at: int = 0
    over: Buffer | None = None

    @property
    def lent(self) -> int:
        """Bytes that it has in common with the one that it is over, at that moment."""
        return 0 if self.over is None else min(self.bytes, self.over.bytes)


@dataclass
class Plan:
    """Where each value lies in the arena.

    Attributes:
        at: byte offset of every value that is not a constant.
        arena_bytes: size of the arena.
        least_bytes: what is alive at the same time, at most: no plan can do with less.
    """

    at: dict[str, int]
    arena_bytes: int
    least_bytes: int


@dataclass(frozen=True)
class Peak:
    """What is alive while a node runs: `parts` are names of values or of a chain's windows and their bytes, largest first."""

    node: Node
    bytes: int
    parts: tuple[tuple[str, int], ...]


def plan(graph: Graph, keep_inputs: bool = True, chains: Sequence[Chain] = ()) -> Plan:
    """Plan the arena of a graph. Outputs live to the end.

    Args:
        keep_inputs: they keep their content during a run. Else their memory is used again after their last use.
        chains: of nodes that run together. The windows of each are one buffer, named by `Chain.windows`.
    """
    buffers = _buffers(graph, keep_inputs, chains)
    least = least_bytes(buffers)
    best: tuple[int, dict[str, int]] | None = None
    for order in _orders(buffers):
        arena_bytes = place(order)
        if best is None or arena_bytes < best[0]:
            best = arena_bytes, {name: b.at + _offset(graph, name) for b in buffers for name in b.members}
        if best[0] == least:
            break
    assert best is not None
    return Plan(best[1], best[0], least)


def peaks(graph: Graph, keep_inputs: bool = True, chains: Sequence[Chain] = ()) -> list[Peak]:
    """What is alive at each node, as no plan can change."""
    buffers = sorted(_buffers(graph, keep_inputs, chains), key=lambda b: (-b.bytes, b.name))
    found = []
    for i, node in zip(_times(graph, chains), graph.nodes, strict=True):
        parts = tuple((b.name, b.bytes) for b in buffers if b.first <= i <= b.last)
        found.append(Peak(node, _alive(buffers, i), parts))
    return found


def moment(graph: Graph, keep_inputs: bool, chain: Chain) -> int:
    """The bytes that are alive while a chain runs."""
    return _alive(_buffers(graph, keep_inputs, [chain]), chain.first)


def alive_bytes(graph: Graph, keep_inputs: bool = True) -> int:
    """The most bytes that are alive at one time, without chains."""
    return least_bytes(_buffers(graph, keep_inputs, ()))


def _alive(buffers: Iterable[Buffer], time: int) -> int:
    """The bytes that are alive at a time."""
    return sum(b.bytes - (b.lent if b.first == time else 0) for b in buffers if b.first <= time <= b.last)


def _orders(buffers: list[Buffer]) -> Iterator[list[Buffer]]:
    """Orders to place buffers in: large ones first, those that live long, those of the fullest moments, and then shuffles."""
    full = {b.name: _fullest(b, buffers) for b in buffers}
    keys: list[Callable[[Buffer], tuple[object, ...]]] = [
        lambda b: (-b.bytes, b.first, b.name),
        lambda b: (-b.bytes * (b.last - b.first + 1), b.first, b.name),
        lambda b: (-full[b.name], -b.bytes, b.first, b.name),
        lambda b: (b.first - b.last, -b.bytes, b.first, b.name),
    ]
    for key in keys:
        yield sorted(buffers, key=key)
    rng = random.Random(1)
    order = sorted(buffers, key=keys[0])
    for _ in range(min(_SHUFFLES, _PAIRS // max(len(buffers), 1) ** 2)):
        yield sorted(order, key=lambda b: -b.bytes * rng.uniform(0.5, 1.5))


def _fullest(buffer: Buffer, buffers: list[Buffer]) -> int:
    """The bytes of all that a buffer has to share memory with, at once or not."""
    return sum(b.bytes for b in buffers if b.first <= buffer.last and buffer.first <= b.last)


def place(buffers: Iterable[Buffer], align: int = fmt.ARENA_ALIGN) -> int:
    """Put each buffer, in the order given, into the lowest gap that is free for its whole life. Returns the bytes needed.

    Source: Yury Pisarchyk and Juhyun Lee, "Efficient memory management for deep neural net inference", 2020 (greedy by size).
    """
    placed: list[Buffer] = []
    for b in buffers:
        b.at = 0
        together = sorted((p for p in placed if p.first <= b.last and b.first <= p.last), key=lambda p: p.at)
        twin = next((p for p in together if p.over is b or b.over is p), None)
        if twin is None or any(p.at < twin.at + b.bytes and twin.at < p.at + p.bytes for p in together if p is not twin):
            for other in together:
                if b.at + b.bytes <= other.at:
                    break
                b.at = max(b.at, fmt.align(other.at + other.bytes, align))
        else:
            b.at = twin.at
        placed.append(b)
    return max((b.at + b.bytes for b in placed), default=0)


def least_bytes(buffers: Iterable[Buffer]) -> int:
    """The most bytes that are alive at one time."""
    changes: dict[int, int] = {}
    for b in buffers:
        changes[b.first] = changes.get(b.first, 0) + b.bytes
        changes[b.last + 1] = changes.get(b.last + 1, 0) - b.bytes
        changes[b.first] -= b.lent
        changes[b.first + 1] = changes.get(b.first + 1, 0) + b.lent
    alive = most = 0
    for time in sorted(changes):
        alive += changes[time]
        most = max(most, alive)
    return most


def _times(graph: Graph, chains: Sequence[Chain]) -> list[int]:
    """When each node runs: those of a chain all at once."""
    times = list(range(len(graph.nodes)))
    for chain in chains:
        times[chain.first : chain.first + chain.count] = [chain.first] * chain.count
    return times


def _buffers(graph: Graph, keep_inputs: bool, chains: Sequence[Chain]) -> list[Buffer]:
    """One buffer per value, then shared: with one that it lies in, or where a node may write over its input or does nothing."""
    owner: dict[str, Buffer] = {}
    times = _times(graph, chains)
    in_strips = {name for chain in chains for name in chain.kept}
    for name in graph.inputs:
        owner[name] = _buffer(graph, name, -1)
        owner[name].last = len(graph.nodes) if keep_inputs else 0
    for i, node in zip(times, graph.nodes, strict=True):
        for made in node.outputs:
            if made is not None and made not in in_strips:
                owner[made] = _buffer(graph, made, i)
        for taken in node.inputs:
            if taken is not None and taken in owner:
                owner[taken].last = max(owner[taken].last, i)
    for name in graph.outputs:
        owner[name].last = len(graph.nodes)
    for node in graph.nodes:
        if node.op == "reshape" and node.inputs[0] in owner:
            _share(owner, node.inputs[0], node.outputs[0])
    for name, part in graph.slices.items():
        _share(owner, part.root, name)
    chained = {i for chain in chains for i in range(chain.first, chain.first + chain.count)}
    for i, node in enumerate(graph.nodes):
        over = None if i in chained else _writes_over(graph, owner, node, i)
        if over is not None:
            _share(owner, over, node.outputs[0])
    for chain in chains:
        _lay_over(graph, owner, chain)
    windows = [Buffer(c.windows, c.windows_bytes, c.first, c.first, [c.windows]) for c in chains]
    return [*{b.name: b for b in owner.values()}.values(), *windows]


def _buffer(graph: Graph, name: str, time: int) -> Buffer:
    value = graph.values[name]
    return Buffer(name, fmt.tensor_bytes(value.dtype, value.shape), time, time, [name])


def _offset(graph: Graph, name: str) -> int:
    """Bytes from the start of a buffer to the value."""
    value = graph.values.get(name)  # windows of a chain are none
    return graph.slices[name].offset * fmt.DTYPES[value.dtype][1].itemsize if value and name in graph.slices else 0


def _share(owner: dict[str, Buffer], a: str | None, b: str | None) -> None:
    assert a is not None and b is not None
    first, second = owner[a], owner[b]
    if first is second:
        return
    first.bytes = max(first.bytes, second.bytes)
    first.first, first.last = min(first.first, second.first), max(first.last, second.last)
    first.members += second.members
    for name in second.members:
        owner[name] = first


def _lay_over(graph: Graph, owner: dict[str, Buffer], chain: Chain) -> None:
    """Let what a chain makes lie over an input that it may be written over, and that nothing wants any more."""
    nodes = graph.nodes[chain.first : chain.first + chain.count]
    taken = {name for node in nodes for name in node.inputs if name is not None and name in owner}
    made = nodes[-1].outputs[0] or ""
    y = owner[made]
    for name in () if made in graph.slices else chain.over:
        if name in graph.slices:
            continue
        if owner[name].last == chain.first == y.first and all(owner[n] is not owner[name] for n in taken - {name}):
            y.over = owner[name]
            return


def _writes_over(graph: Graph, owner: dict[str, Buffer], node: Node, time: int) -> str | None:
    """The input whose memory a node's output may take: same shape and dtype, read element by element, not needed any more."""
    candidates = {"binary": node.inputs}.get(node.op, node.inputs[:1] if node.op in _ELEMENTWISE else [])
    if node.op in ("conv", "dwconv", "dense"):
        candidates = node.inputs[3:4]
    y = graph.values[node.outputs[0]] if node.outputs[0] is not None else None
    for name in candidates:
        if name is None or name not in owner or y is None or name in graph.slices or y.name in graph.slices:
            continue
        value, others = graph.values[name], [owner[n] for n in node.inputs if n in owner and n != name]
        alike = (value.shape, value.dtype) == (y.shape, y.dtype)
        once = node.op == "binary" or node.inputs.count(name) == 1
        if alike and once and owner[name].last == time and owner[name] not in others:
            return name
    return None
