"""Values that lie in others: what a concat of channels joins is written where it belongs, slices of channels are not copied."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from . import views
from .graph import Graph, Node, Slice
from .plan import alive_bytes
from .rewrite import first_input, first_output, slot

# Operators that can write a slice (tody_op.pitched_output), and inputs that can be one (pitched_inputs; of a concat all).
WRITES = ("conv", "dwconv", "pool", "binary", "unary", "resize", "concat")
READS = {"conv": (0,), "dwconv": (0,), "pool": (0,), "unary": (0,), "binary": (0, 1)}
_LAYERS = ("conv", "dwconv")
_ADDEND = 3  # of a layer: has to lie as its output does
_FOLDED = 4  # channels: of other numbers than its multiples, convolutions with a stride may want rows that follow each other
_ELEMENTWISE = ("binary", "unary")
_LEAST_ROW = 128  # bytes: functions of elements take a call for each row of a slice. To copy shorter ones is as quick

Parents = dict[str, tuple[str, int]]  # value -> the one that it lies in, and from which channel on


def choose_slices(graph: Graph, keep_inputs: bool = True) -> dict[str, Slice]:
    """The values that shall lie in others, of a graph whose nodes are in the order of the file's operators.

    They are of float32. A concat takes in what it joins where that is half of it at least, as rows that are apart are read and
    written more slowly, and where no more memory is alive at any time than without, as its result then lives from the first of
    its parts on.

    Args:
        keep_inputs: as for `plan`.
    """
    found = _Search(graph)
    least = alive_bytes(replace(graph, slices={}), keep_inputs)
    for node in sorted(graph.nodes, key=lambda n: n.op != "copy"):  # what takes a value is known when a concat takes it in
        trial = {**found.parents, **found.joins(node)}
        if len(trial) > len(found.parents):
            needed = alive_bytes(replace(graph, slices=_resolve(graph, trial)), keep_inputs)
            if needed <= least:
                found.parents, least = trial, needed
    return _resolve(graph, found.parents)


def continue_concats(graph: Graph) -> None:
    """Let a concat that begins with all that an earlier one joins begin with the result of that one, in which it then lies."""
    earlier: dict[tuple[str | None, ...], str] = {}
    for node in graph.nodes:
        if not is_join(graph, node) or graph.values[first_output(node)].dtype != "float32":
            continue
        names = tuple(node.inputs)
        known = next((n for n in range(len(names) - 1, 1, -1) if names[:n] in earlier), 0)
        if known:
            node.inputs = [earlier[names[:known]], *names[known:]]
        earlier.setdefault(names, first_output(node))


def is_join(graph: Graph, node: Node) -> bool:
    """Whether a node joins values along their last dimension."""
    return node.op == "concat" and node.attrs["axis"] == len(graph.values[first_output(node)].shape) - 1


def to_copy(graph: Graph, node: Node) -> Iterator[tuple[list[str], Slice]]:
    """What a concat with a slice among its inputs still has to copy: inputs that are neighbours, and where they belong."""
    whole = graph.slices.get(first_output(node), Slice(first_output(node), 0))
    run: list[str] = []
    at = begin = whole.offset
    for name in [*node.inputs, None]:
        inside = name is not None and graph.slices.get(name) == Slice(whole.root, at)
        if run and (inside or name is None):
            yield run, Slice(whole.root, begin)
            run = []
        if name is None:
            return
        if not inside:
            begin = begin if run else at
            run.append(name)
        at += graph.values[name].shape[-1]


def is_taken_in(graph: Graph, node: Node) -> bool:
    """Whether a node's result lies in its input, or one of its inputs in its result, so that it is not run as it is."""
    if node.op == "concat":
        return any(lies_in(graph, name, first_output(node)) for name in node.inputs if name is not None)
    return node.op == "copy" and lies_in(graph, first_output(node), first_input(node))


def lies_in(graph: Graph, name: str, whole: str) -> bool:
    """Whether a value lies in another one, or in the same."""
    a, b = graph.slices.get(name), graph.slices.get(whole, Slice(whole, 0))
    if a is None or a.root != b.root:
        return False
    return b.offset <= a.offset and a.offset + graph.values[name].shape[-1] <= b.offset + graph.values[whole].shape[-1]


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._makers = graph.producer()
        self._fixed = {*graph.inputs, *graph.outputs}
        self._users: dict[str, list[tuple[Node, int]]] = {}
        for node in graph.nodes:
            for i, name in enumerate(node.inputs):
                if name is not None:
                    self._users.setdefault(name, []).append((node, i))
        self.parents: Parents = {}

    def joins(self, node: Node) -> Parents:
        """What can lie in the result of a node, or its result, and that of others, in what it takes, and does not lie anywhere
        yet."""
        if node.op == "copy":
            return self._parts(first_input(node))
        return self._members(node) if is_join(self._graph, node) else {}

    def _parts(self, whole: str) -> Parents:
        found = {first_output(node): self._channel(node) for node, _ in self._users[whole] if node.op == "copy"}
        return {name: (whole, at) for name, at in found.items() if at is not None and self._readable(name)}

    def _channel(self, node: Node) -> int | None:
        """The first channel that a copy takes, if it takes some neighbouring ones of each pixel; else None."""
        x, y = self._graph.values[first_input(node)], self._graph.values[first_output(node)]
        if x.constant or len(y.shape) < 2 or x.shape[:-1] != y.shape[:-1] or x.shape == y.shape:
            return None
        view, strides = views.of_node(node, y.shape), views.contiguous(x.shape)
        along = all(n == 1 or a == b for n, a, b in zip(y.shape, view.strides, strides, strict=True))
        return view.offset if along and 0 <= view.offset <= x.shape[-1] - y.shape[-1] else None

    def _members(self, node: Node) -> Parents:
        whole, names = first_output(node), [name for name in node.inputs if name is not None]
        members: Parents = {}
        at, i = 0, 0
        while i < len(names):
            taken, count = self._source(names[i:])
            if taken not in members and names.count(names[i]) == 1 and self._readable(taken) and self._writable(taken):
                members[taken] = (whole, at)
            at += sum(self._length(name) for name in names[i : i + count])
            i += count
        return members if 2 * sum(map(self._length, members)) >= self._length(whole) else {}

    def _source(self, names: Sequence[str]) -> tuple[str, int]:
        """The value of which the first few of these are all channels, and how many they are."""
        parent, at = self.parents.get(names[0], ("", 0))
        if not parent or at > 0:
            return names[0], 1
        for i, name in enumerate(names):
            if self.parents.get(name) != (parent, at):
                break
            at += self._length(name)
            if at == self._length(parent):
                return parent, i + 1
        return names[0], 1

    def _length(self, name: str) -> int:
        return self._graph.values[name].shape[-1]

    def _free(self, name: str) -> bool:
        value = self._graph.values[name]
        fixed = value.constant or name in self._fixed or name in self.parents
        return not fixed and len(value.shape) > 1 and value.dtype == "float32"

    def _readable(self, name: str) -> bool:
        """Whether a value does not lie anywhere yet, and all that take it can read a slice."""
        return self._free(name) and all(self._reads(name, *user) for user in self._users.get(name, []))

    def _reads(self, name: str, node: Node, i: int) -> bool:
        if node.op == "copy":
            return self.parents.get(first_output(node), ("",))[0] == name
        if node.op == "concat":
            return is_join(self._graph, node)
        if node.op == "conv" and self._length(name) % _FOLDED and max(node.attrs.get("stride", (1, 1))) > 1:
            return False
        return i in READS.get(node.op, ()) and (node.op not in _ELEMENTWISE or self._rows_suffice(name))

    def _writable(self, name: str) -> bool:
        """Whether what makes a value can write a slice."""
        node = self._makers[name]
        if node.op == "concat":
            return is_join(self._graph, node)
        if node.op in _LAYERS and slot(node, _ADDEND) is not None:
            return False
        return node.op in WRITES and (self._rows_suffice(name) or not _calls_for_rows(node))

    def _rows_suffice(self, name: str) -> bool:
        value = self._graph.values[name]
        return 4 * value.shape[-1] >= _LEAST_ROW


def _calls_for_rows(node: Node) -> bool:
    """Whether a node applies a function to each row of a slice that it writes: its own, or the activation of a layer."""
    function = node.attrs.get("activation", ("none",))[0] if node.op in _LAYERS else "none"
    return node.op in _ELEMENTWISE or function not in ("none", "clamp")


def _resolve(graph: Graph, parents: Mapping[str, tuple[str, int]]) -> dict[str, Slice]:
    """Where each value lies in one that lies in no other."""
    slices: dict[str, Slice] = {}
    for name in parents:
        root, offset = name, 0
        while root in parents:
            root, at = parents[root]
            offset += at
        slices[name] = Slice(root, offset)
    return slices
