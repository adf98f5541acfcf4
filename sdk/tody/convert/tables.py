"""Functions of one int8 value as tables of 256 values, and what is one although it is spelt with several operators."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import format as fmt
from .._runtime import Runtime
from .graph import Graph, Node, Value
from .lower import lower
from .rewrite import Index, add_constant, first_input, first_output

Table = NDArray[np.int8]

_OPERANDS = {"lut": 1, "cast": 1, "binary": 2}  # of operators that can be part of such a function

_MOST_NODES = 32  # of such a function: what is longer was never one activation

IDENTITY: Table = np.arange(-128, 128).astype(np.int8)


def merge_tables(index: Index, node: Node) -> bool:
    """Tables in a row are one, and so is what is computed from a value and a function of it, such as x * sigmoid(x)."""
    values, y = index.graph.values, index.graph.values[first_output(node)]
    taken = [str(name) for name in node.inputs[: _OPERANDS.get(node.op, 0)]]
    if not taken or any(values[name].dtype != "int8" or values[name].constant for name in (*taken, y.name)):
        return False
    found = {name: _function(index, name) for name in taken}
    roots = {root for root, _ in found.values()}
    alike = {values[name].shape for name in (*taken, *roots)} == {y.shape}
    if len(roots) > 1 or not alike or (roots == set(taken) and node.op != "binary"):
        return False
    content = _result(index.graph, node, {name: known for name, (_, known) in found.items()})
    name = add_constant(index.graph, f"{y.name}:table", content)
    node.op, node.inputs, node.attrs = "lut", [roots.pop(), name], {}
    return True


def tabulate(index: Index, node: Node) -> bool:
    """What is quantised behind operators that make each number of one of an int8 value is a table, such as a function alone, or
    a GELU that is spelt out."""
    values, made = index.graph.values, index.graph.values[first_output(node)]
    if node.op != "cast" or made.dtype != "int8" or made.quant is None or values[first_input(node)].dtype != "float32":
        return False
    nodes: list[Node] = []
    if not _pointwise(index, first_input(node), made.shape, nodes):
        return False
    roots = {first_input(each) for each in nodes if each.op == "cast"}
    if len(roots) != 1 or len(nodes) < 2:
        return False
    root = roots.pop()
    name = add_constant(index.graph, f"{made.name}:table", _result_of(index.graph, [*nodes, node], root))
    node.op, node.inputs, node.attrs = "lut", [root, name], {}
    return True


def _pointwise(index: Index, name: str, shape: tuple[int, ...], found: list[Node], behind: int = 0) -> bool:
    """Whether a float32 value, `behind` so many nodes, is made number by number of int8 ones of this shape; adds the makers."""
    value, maker = index.graph.values[name], index.maker(name)
    if value.data is not None:
        return value.data.size == 1
    if maker is None or value.shape != shape or max(len(found), behind) > _MOST_NODES:
        return False
    if maker in found:
        return True
    if maker.op == "cast":
        source = index.graph.values[first_input(maker)]
        known = source.dtype == "int8" and source.data is None and source.quant is not None and len(source.quant.scales) == 1
    else:
        known = maker.op in ("unary", "binary") and all(
            _pointwise(index, str(each), shape, found, behind + 1) for each in maker.inputs
        )
    found += [maker] if known and maker not in found else []
    return known


def _result_of(graph: Graph, nodes: list[Node], root: str) -> Table:
    """What nodes make of each integer of `root`."""
    probe = Graph(nodes=[Node(each.op, list(each.inputs), list(each.outputs), each.attrs) for each in nodes])
    for name in {str(name) for each in nodes for name in (*each.inputs, *each.outputs)}:
        value = graph.values[name]
        data = None if value.data is None else value.data.reshape(1)
        probe.values[name] = Value(name, IDENTITY.shape if data is None else (1,), value.dtype, data, quant=value.quant)
    return _computed(probe, {root: IDENTITY}, first_output(nodes[-1]))


def _function(index: Index, name: str) -> tuple[str, Table]:
    """The value that a table made `name` of, and the table; itself if none did."""
    maker = index.maker(name, "lut")
    known = None if maker is None else index.constant(maker.inputs[1])
    return (name, IDENTITY) if maker is None or known is None else (first_input(maker), known.astype(np.int8))


def _result(graph: Graph, node: Node, known: dict[str, Table]) -> Table:
    """What a node makes of each integer that its inputs are functions of."""
    probe = Graph(nodes=[Node(node.op, list(node.inputs), ["y"], node.attrs)])
    for name in node.inputs:
        value = graph.values[str(name)]
        shape = IDENTITY.shape if value.name in known else value.shape
        probe.values[value.name] = Value(value.name, shape, value.dtype, value.data, value.pack, value.quant)
    probe.values["y"] = Value("y", IDENTITY.shape, "int8", quant=graph.values[first_output(node)].quant)
    return _computed(probe, known)


def _computed(graph: Graph, inputs: dict[str, Table], y: str = "y") -> Table:
    """The value y of a graph."""
    graph.inputs, graph.outputs = list(inputs), [y]
    runtime = Runtime(fmt.write(lower(graph)[0]), kernels="portable")
    for tensor, array in zip(runtime.inputs, inputs.values(), strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return np.array(runtime.outputs[0], np.int8)
