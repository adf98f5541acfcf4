"""Chains of operators that run by strips of rows (runtime/ops/strips.c): which there can be, and which pay."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from .. import format as fmt
from .graph import Graph, Node
from .rewrite import first_output, node_macs
from .winograd import gaining

# Operators whose rows want few rows of these inputs (tody_op.row_inputs): of the first one of `_SLIDING` those under a window.
_ROW_INPUTS = {"conv": (0, 3), "dwconv": (0, 3), "pool": (0,), "unary": (0,), "lut": (0,), "binary": (0, 1)}
_SLIDING = ("conv", "dwconv", "pool")

CACHE = 1 << 19  # bytes: the second-level cache of small laptops, and a core's share of that of a Raspberry Pi
_LARGE = 0.75  # of it: what a value must take that does not stay there beside weights and what else an operator reads or writes
# What strips cost, in bytes that go to memory: a byte that moves within the cache, and a call of an operator.
_MOVE = 0.25
_CALL = 1 << 16
# In the same: what it costs that threads wait for each other between two operators (a microsecond), and a multiply-add.
_HAND_OVER = 1 << 13
_MAC = 0.1
_WORTH = 0.03  # of a chain's time: less saved waiting is not worth a chain


@dataclass(frozen=True)
class Chain:
    """Nodes of a graph that run together, `rows` rows of the last one's output at a time.

    Attributes:
        first: index of the first node.
        count: how many, one after the other.
        kept: value between two of them -> rows of it that its window holds.
        at: value between two of them -> where its window lies among those of the chain.
        windows_bytes: memory for all of them.
        over: values over which the last output may be written, from their start: what strips to come want lies behind it. Then
            one thread makes them all.
    """

    first: int
    count: int
    rows: int
    kept: dict[str, int]
    at: dict[str, int]
    windows_bytes: int
    over: tuple[str, ...] = ()

    @property
    def windows(self) -> str:
        """What the plan of the arena calls the memory for the windows."""
        return f"windows of {self.first}"


@dataclass(frozen=True)
class _Reach:
    """Row y of an output wants `rows` rows of an input from y * stride - pad on."""

    stride: int
    pad: int
    rows: int


@dataclass(frozen=True)
class _Window:
    """Of a value between the nodes of a chain: rows * rate + extra rows of it are kept, or all, for strips of `rows`."""

    rate: int
    extra: int
    height: int
    row_bytes: int

    def kept(self, rows: int) -> int:
        return min(rows * self.rate + self.extra, self.height)


@dataclass(frozen=True)
class Link:
    """A stretch of nodes that are a chain, whatever the number of rows of a strip."""

    first: int
    count: int
    height: int  # of what the last node makes
    windows: dict[str, _Window]
    over: tuple[str, ...]

    def chain(self, rows: int, in_place: bool = False) -> Chain:
        """With so many rows of the last output in a strip, 1 to `height`.

        Args:
            in_place: let the plan put the output over an input, if it can.
        """
        at, end = {}, 0
        for name, window in self.windows.items():
            at[name], end = end, fmt.align(end + window.kept(rows) * window.row_bytes, fmt.ARENA_ALIGN)
        kept = {name: w.kept(rows) for name, w in self.windows.items()}
        return Chain(self.first, self.count, rows, kept, at, end, self.over if in_place else ())


def links(graph: Graph, apart: Set[str] = frozenset()) -> list[list[Link]]:
    """All chains that there can be, by their last node, of a graph whose nodes are in their order.

    Args:
        apart: weights of nodes that shall not be in one.
    """
    users: dict[str, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            users.setdefault(name or "", []).append(i)
    for name in graph.outputs:
        users.setdefault(name, []).append(len(graph.nodes))
    fits = [apart.isdisjoint(node.inputs) and _can_take_part(graph, node) for node in graph.nodes]
    found: list[list[Link]] = []
    for last in range(len(graph.nodes)):
        found.append([])
        for first in range(last, max(last - fmt.MAX_CHAIN, -1), -1):
            if not fits[first] or (first < last and users.get(first_output(graph.nodes[first]), [last + 1])[-1] > last):
                break
            nodes = graph.nodes[first : last + 1]
            ahead = _ahead(graph, nodes) if first < last else None
            if ahead is not None:
                height = graph.values[first_output(graph.nodes[last])].shape[1]
                windows = _windows(graph, nodes, ahead)
                found[-1].append(Link(first, len(nodes), height, windows, _overwritable(graph, nodes, ahead)))
    return found


def _can_take_part(graph: Graph, node: Node) -> bool:
    """Whether a node may belong to a chain: images of one batch, at least two columns wide, each window with a row inside."""
    if node.op not in _ROW_INPUTS:
        return False
    shape = graph.values[first_output(node)].shape
    if len(shape) != 4 or shape[0] != 1 or shape[2] < 2:
        return False
    for name, reach in _row_inputs(graph, node):
        height = graph.values[name].shape[1]
        if reach.pad >= reach.rows or (shape[1] - 1) * reach.stride - reach.pad >= height:
            return False
    return True


def _row_inputs(graph: Graph, node: Node) -> Iterator[tuple[str, _Reach]]:
    """The inputs of a node whose rows go with those of its output."""
    height = graph.values[first_output(node)].shape[1]
    for i in _ROW_INPUTS[node.op]:
        name = node.inputs[i] if i < len(node.inputs) else None
        if name is None:
            continue
        if i == 0 and node.op in _SLIDING:
            kernel, stride, dilation = (node.attrs.get(key, (1, 1))[0] for key in ("kernel", "stride", "dilation"))
            yield name, _Reach(stride, node.attrs.get("pad", (0,))[0], (kernel - 1) * dilation + 1)
        elif graph.values[name].shape[1:2] == (height,):
            yield name, _Reach(1, 0, 1)


Ahead = dict[str, tuple[int, int]]  # rate and lead: a strip up to row b of the last output wants rate * b + lead rows


def _ahead(graph: Graph, nodes: Sequence[Node]) -> Ahead | None:
    """Of what the nodes make, or None where something is not taken row by row, or at two rates."""
    made = {first_output(node) for node in nodes}
    ahead: Ahead = {first_output(nodes[-1]): (1, 0)}
    for node in reversed(nodes):
        if first_output(node) not in ahead:
            return None
        rate, lead = ahead[first_output(node)]
        taken = list(_row_inputs(graph, node))
        if {name for name in node.inputs if name in made} - {name for name, _ in taken}:
            return None
        for name, reach in taken:
            if name in made:
                other = ahead.get(name, (rate * reach.stride, -(1 << 62)))
                if other[0] != rate * reach.stride:
                    return None
                ahead[name] = (other[0], max(other[1], (lead - 1) * reach.stride - reach.pad + reach.rows))
    return ahead


def _windows(graph: Graph, nodes: Sequence[Node], ahead: Ahead) -> dict[str, _Window]:
    """Of the values between the nodes: as many rows as strips.c proves that they need."""
    extra: dict[str, int] = {}
    for node in nodes:
        for name, reach in _row_inputs(graph, node):
            if name in ahead:
                behind = ahead[first_output(node)][1] * reach.stride - reach.pad
                extra[name] = max(extra.get(name, 0), ahead[name][1] - behind)
    return {name: _window(graph, name, ahead[name][0], rows) for name, rows in extra.items()}


def _window(graph: Graph, name: str, rate: int, extra: int) -> _Window:
    return _Window(rate, extra, graph.values[name].shape[1], _row_bytes(graph, name))


def _row_bytes(graph: Graph, name: str) -> int:
    value = graph.values[name]
    return math.prod(value.shape[2:]) * fmt.DTYPES[value.dtype][1].itemsize


def _overwritable(graph: Graph, nodes: Sequence[Node], ahead: Ahead) -> tuple[str, ...]:
    """Values from outside of which all rows that a strip leaves to the next lie behind the rows that it has made.

    What the last node itself takes must lie where it writes the result of it, and be read no more than once: not what it slides
    over, of which a pixel is read again for other channels.
    """
    y = first_output(nodes[-1])
    slid_over = nodes[-1].inputs[0] if nodes[-1].op in _SLIDING else None
    last, size = graph.values[y].shape[1] - 1, _row_bytes(graph, y)
    found: dict[str, bool] = {}
    for node in nodes:
        by_rows = dict.fromkeys(name for name, _ in _row_inputs(graph, node))
        for name in {n for n in node.inputs if n is not None and n not in ahead and not graph.values[n].constant} - {*by_rows}:
            found[name] = False
        for name, reach in _row_inputs(graph, node):
            rate, lead = ahead[first_output(node)]
            left = [(rate * b + lead) * reach.stride - reach.pad for b in (1, last)]  # first row that strips behind b want
            fits = all(b * size <= rows * _row_bytes(graph, name) for b, rows in zip((1, last), left, strict=True))
            if node is nodes[-1]:
                fits = name != slid_over and reach == _Reach(1, 0, 1) and _row_bytes(graph, name) == size
            found[name] = found.get(name, True) and fits
    return tuple(name for name, fits in found.items() if fits and name not in ahead and not graph.values[name].constant)


def choose(graph: Graph, cache: int = CACHE, threads: int = 2) -> list[Chain]:
    """The chains that save the most traffic with memory, or waiting of threads, of a graph whose nodes are in their order.

    Args:
        cache: bytes that a core has near to it: what values larger than most of it move to and from memory counts as saved.
        threads: with how many the model will run. Fewer lose nothing.
    """
    best: list[tuple[float, list[Chain]]] = [(0.0, [])]  # for the nodes before each one
    for ending in links(graph, gaining(graph)):
        tries = [best[-1]]
        for link in ending:
            chain = _fitting(graph, link, cache)
            if chain is not None:
                gain, chains = best[link.first]
                tries.append((gain + _saved(link, chain, cache), [*chains, chain]))
                tries.append((gain + _hand_overs_saved(graph, link, threads), [*chains, link.chain(link.height)]))
        best.append(max(tries, key=lambda t: t[0]))
    return best[-1][1]


def _fitting(graph: Graph, link: Link, cache: int) -> Chain | None:
    """A chain in the fewest strips, all about as large, whose windows and weights the cache holds, if it does."""
    nodes = graph.nodes[link.first : link.first + link.count]
    room = cache - sum(_weight_bytes(graph, node) for node in nodes)
    rows = bisect_left(range(1, link.height + 1), True, key=lambda n: link.chain(n).windows_bytes > room)
    return link.chain(_div_up(link.height, _div_up(link.height, rows))) if rows else None


def _saved(link: Link, chain: Chain, cache: int) -> float:
    """Bytes that need not go to memory and back, less what the strips cost."""
    strips = _div_up(link.height, chain.rows)
    saved = moved = 0
    for name, window in link.windows.items():
        whole = window.height * window.row_bytes
        saved += 2 * whole if whole > _LARGE * cache else 0
        moved += max(0, strips * chain.kept[name] * window.row_bytes - whole)
    return saved - moved * _MOVE - strips * chain.count * _CALL


def _hand_overs_saved(graph: Graph, link: Link, threads: int) -> float:
    """What it saves that each thread does all of a chain for its own rows, in one strip, less that these are not equally many.

    Of float32, and without a row that two threads need: chips, which have one thread and no room for chains, use integers.
    """
    nodes = graph.nodes[link.first : link.first + link.count]
    own_rows = all(window.rate == 1 and window.extra == 0 for window in link.windows.values())
    if threads < 2 or not own_rows or graph.values[first_output(nodes[-1])].dtype != "float32":
        return 0
    work = sum(_MAC * node_macs(graph, node) for node in nodes) + sum(w.height * w.row_bytes for w in link.windows.values())
    saved = _HAND_OVER * (link.count - 1) - work * (_div_up(link.height, threads) / link.height - 1 / threads)
    return saved if saved >= _WORTH * work else 0


def _weight_bytes(graph: Graph, node: Node) -> int:
    values = [graph.values[name] for name in node.inputs if name is not None]
    return sum(fmt.tensor_bytes(v.dtype, v.shape, v.pack) for v in values if v.constant)


def _div_up(a: int, b: int) -> int:
    return -(-a // b)
