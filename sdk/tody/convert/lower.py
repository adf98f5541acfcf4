"""From a graph to the bytes of a `.tody` file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .. import format as fmt
from ..errors import ModelError
from . import views
from .attention import join_attention
from .graph import Graph, Node, Quant, Slice, Value
from .plan import Plan, plan
from .rewrite import add_value, first_output
from .schedule import schedule
from .short import short_constants
from .slices import choose_slices, continue_concats, is_taken_in, to_copy
from .sparse import sparse_weights
from .strips import Chain, choose
from .tiling import tilings

Choice = Callable[[Graph], list[Chain]]  # of chains in a graph whose nodes are in the order of the file's operators


def lower(
    graph: Graph,
    keep_inputs: bool = True,
    blocks: bool = True,
    chains: Choice | None = choose,
    short: bool = True,
    order: bool = True,
) -> tuple[fmt.File, Plan]:
    """The content of the file for a graph, without metadata. Equal graphs give equal content.

    The graph's nodes are put into the order of the file's operators, and nodes that copy are added where outputs need memory
    of their own.

    Args:
        keep_inputs: they keep their content during a run.
        blocks: store weights as the blocks that are not zero where that is quicker.
        chains: chooses what runs by strips of rows; None: nothing, nor is attention one operator, nor does a value lie in
            another one, so that each exists whole for a moment.
        short: store biases and multipliers in 16 bits where those hold them.
        order: search for an order of the nodes that takes less memory.

    Raises:
        ModelError: a tensor has more dimensions than the format holds.
    """
    graph.slices = {}
    part_borders(graph)
    if chains:
        join_attention(graph)
        continue_concats(graph)
    if order:
        schedule(graph, keep_inputs)
    if chains:
        graph.slices = choose_slices(graph, keep_inputs)
    chosen = chains(graph) if chains else []
    where = plan(graph, keep_inputs, chosen)
    file = fmt.File(arena_bytes=where.arena_bytes)
    halves = short_constants(graph) if short else {}
    tensors = _Tensors(graph, where, file, sparse_weights(graph) if blocks else set(), chosen, halves)
    file.inputs = [tensors.index(name) for name in graph.inputs]
    heads = {chain.first: chain for chain in chosen}
    for i, node in enumerate(graph.nodes):
        if i in heads:
            file.records.append(_strips(graph, heads[i], tensors))
        if is_taken_in(graph, node):
            file.records += _copies(graph, node, tensors)
        elif node.op != "reshape":
            file.records.append(_record(node, tensors))
    file.outputs = [tensors.index(name) for name in graph.outputs]
    file.weights = tensors.finish()
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
            graph.outputs[i] = add_value(graph, f"{name}:out", value.shape, value.dtype, value.quant)
            view = views.View(value.shape, 0, views.contiguous(value.shape))
            graph.nodes.append(Node("copy", [name], [graph.outputs[i]], views.attributes(view)))
        else:
            taken.add(home)


class _Tensors:
    """Numbers the values in the order of their first use and lays the constants out, and behind them the scales.

    Constants of one dtype stand together: coded, many small ones such as biases then share a block and its table.
    """

    def __init__(
        self,
        graph: Graph,
        where: Plan,
        file: fmt.File,
        sparse: set[str],
        chains: Sequence[Chain],
        short: Mapping[str, Value],
    ) -> None:
        self._graph, self._where, self._file = graph, where, file
        self._indices: dict[str, int] = {}
        self._constants: list[tuple[fmt.Tensor, bytes]] = []
        self._scales: dict[bytes, int] = {}  # where each set stands among all of them
        self._scale_bytes = 0
        self._sparse, self._short = sparse, short
        chained = {name for c in chains for node in graph.nodes[c.first : c.first + c.count] for name in node.inputs if name}
        self._tiles = tilings(graph, where.arena_bytes, chained)
        self._in_strips = {name: chain for chain in chains for name in chain.kept}

    def index(self, name: str) -> int:
        """The tensor record of a value, made at its first use."""
        if name not in self._indices:
            value = self._short.get(name, self._graph.values[name])
            if len(value.shape) > fmt.MAX_RANK:
                why = f"a .tody file holds at most {fmt.MAX_RANK}"
                raise ModelError(f"tensor {name} has {len(value.shape)} dimensions", why)
            pack = "blocks" if name in self._sparse else value.pack
            place, at, rows, pitch = "arena", 0, 0, 0
            if value.constant:
                place = "weights"
            elif name in self._in_strips:
                chain = self._in_strips[name]
                place, at, rows = "strips", chain.at[name], chain.kept[name]
            else:
                at = self._where.at[name]
                pitch = self._graph.values[self._graph.slices[name].root].shape[-1] if name in self._graph.slices else 0
            self._indices[name] = len(self._file.tensors)
            tensor = fmt.Tensor(value.dtype, tuple(map(int, value.shape)), place, at, pack, rows=rows, pitch=pitch)
            if value.constant:
                content = _content(value, pack)
                tensor.stored = len(content) if pack == "blocks" else 0
                self._constants.append((tensor, content))
            tensor.tile = self._tiles.get(name, 0)
            if value.quant is not None and not (value.constant and len(value.quant.scales) > 1):  # those are in multipliers
                tensor.scale_count, tensor.zero_point = len(value.quant.scales), value.quant.zero_point
                tensor.scales_at = self._scales_of(value.quant)
            self._file.tensors.append(tensor)
        return self._indices[name]

    def part(self, part: Slice, length: int) -> int:
        """The tensor record of so many channels of a value, from those of a slice on."""
        root = self._file.tensors[self.index(part.root)]
        at = root.at + part.offset * fmt.DTYPES[root.dtype][1].itemsize
        self._file.tensors.append(replace(root, shape=(*root.shape[:-1], length), at=at, pitch=root.shape[-1]))
        return len(self._file.tensors) - 1

    def windows(self, chain: Chain) -> int:
        """The tensor record of the memory for a chain's windows."""
        self._file.tensors.append(fmt.Tensor("uint8", (chain.windows_bytes,), "arena", self._where.at[chain.windows]))
        return len(self._file.tensors) - 1

    def finish(self) -> bytes:
        """The weights section, once every tensor is known."""
        parts: list[bytes] = []
        size = 0
        for tensor, content in sorted(self._constants, key=lambda each: each[0].dtype):
            tensor.at = fmt.align(size, fmt.WEIGHT_ALIGN)
            parts += [b"\0" * (tensor.at - size), content]
            size = tensor.at + len(content)
        start = fmt.align(size, fmt.WEIGHT_ALIGN) if self._scales else size
        for tensor in self._file.tensors:
            tensor.scales_at += start if tensor.scale_count else 0
        return b"".join([*parts, b"\0" * (start - size), *self._scales])

    def _scales_of(self, quant: Quant) -> int:
        """Where the scales stand among all of them; equal ones stand there once."""
        content = np.asarray(quant.scales, fmt.DTYPES["float32"][1]).tobytes()
        if content not in self._scales:
            self._scales[content] = self._scale_bytes
            self._scale_bytes += len(content)
        return self._scales[content]


def _content(value: Value, pack: str) -> bytes:
    """The bytes of a constant in the weights section."""
    assert value.data is not None
    data = value.data.astype(fmt.DTYPES[value.dtype][1], copy=False)
    packed = {"panels": fmt.pack_panels, "blocks": fmt.pack_blocks}.get(pack)
    return packed(data) if packed else data.tobytes()


def _strips(graph: Graph, chain: Chain, tensors: _Tensors) -> fmt.Record:
    last = graph.nodes[chain.first + chain.count - 1]
    outputs: list[int | None] = [tensors.index(first_output(last)), tensors.windows(chain)]
    return fmt.Record("strips", [], outputs, {"count": chain.count, "rows": chain.rows})


def _copies(graph: Graph, node: Node, tensors: _Tensors) -> list[fmt.Record]:
    """The records of a node with a value that lies in another: of a concat, for what does not lie in its result."""
    if node.op != "concat":
        return []
    found = []
    for names, part in to_copy(graph, node):
        length = sum(graph.values[name].shape[-1] for name in names)
        found.append(fmt.Record("concat", [tensors.index(name) for name in names], [tensors.part(part, length)], node.attrs))
    return found


def _record(node: Node, tensors: _Tensors) -> fmt.Record:
    inputs = [None if name is None else tensors.index(name) for name in node.inputs]
    outputs = [None if name is None else tensors.index(name) for name in node.outputs]
    return fmt.Record(node.op, inputs, outputs, node.attrs)
