"""From a graph to the bytes of a `.tody` file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .. import format as fmt
from ..errors import ModelError
from . import views
from .graph import Graph, Node, Value
from .plan import Plan, plan
from .rewrite import add_value


def lower(graph: Graph) -> tuple[fmt.File, Plan]:
    """The content of the file for a graph, without metadata. Equal graphs give equal content.

    Raises:
        ModelError: a tensor has more dimensions than the format holds.
    """
    part_borders(graph)
    where = plan(graph)
    file = fmt.File(arena_bytes=where.arena_bytes)
    tensors = _Tensors(graph, where, file)
    file.inputs = [tensors.index(name) for name in graph.inputs]
    for node in graph.nodes:
        if node.op != "reshape":
            file.records.append(_record(node, tensors))
    file.outputs = [tensors.index(name) for name in graph.outputs]
    file.weights = b"".join(tensors.weights)
    return file, where


def part_borders(graph: Graph) -> None:
    """Give each output memory of its own: not that of an input, of a constant, or of another output."""
    homes = {name: name for name in graph.inputs}
    for node in graph.nodes:
        for name in node.outputs:
            if name is not None:
                homes[name] = homes.get(node.inputs[0] or "", name) if node.op == "reshape" else name
    taken = set(graph.inputs)
    for i, name in enumerate(graph.outputs):
        home = homes.get(name, name)
        if home in taken or graph.values[home].constant:
            value = graph.values[name]
            graph.outputs[i] = add_value(graph, f"{name}:out", value.shape, value.dtype)
            view = views.View(value.shape, 0, views.contiguous(value.shape))
            graph.nodes.append(Node("copy", [name], [graph.outputs[i]], views.attributes(view)))
        else:
            taken.add(home)


class _Tensors:
    """Numbers the values in the order of their first use and lays the constants out."""

    def __init__(self, graph: Graph, where: Plan, file: fmt.File) -> None:
        self._graph, self._where, self._file = graph, where, file
        self._indices: dict[str, int] = {}
        self.weights: list[bytes] = []
        self._weight_bytes = 0

    def index(self, name: str) -> int:
        """The tensor record of a value, made at its first use."""
        if name not in self._indices:
            value = self._graph.values[name]
            if len(value.shape) > fmt.MAX_RANK:
                why = f"a .tody file holds at most {fmt.MAX_RANK}"
                raise ModelError(f"tensor {name} has {len(value.shape)} dimensions", why)
            place, at = ("weights", self._constant(value)) if value.constant else ("arena", self._where.at[name])
            self._indices[name] = len(self._file.tensors)
            self._file.tensors.append(fmt.Tensor(value.dtype, tuple(map(int, value.shape)), place, at, value.pack))
        return self._indices[name]

    def _constant(self, value: Value) -> int:
        assert value.data is not None
        data = value.data.astype(fmt.DTYPES[value.dtype][1], copy=False)
        content = fmt.pack_panels(data) if value.pack == "panels" else data.tobytes()
        gap = fmt.align(self._weight_bytes, fmt.WEIGHT_ALIGN) - self._weight_bytes
        at = self._weight_bytes + gap
        self.weights += [b"\0" * gap, content]
        self._weight_bytes = at + len(content)
        return at


def _record(node: Node, tensors: _Tensors) -> fmt.Record:
    inputs = [None if name is None else tensors.index(name) for name in node.inputs]
    outputs = [None if name is None else tensors.index(name) for name in node.outputs]
    return fmt.Record(node.op, inputs, outputs, node.attrs)
