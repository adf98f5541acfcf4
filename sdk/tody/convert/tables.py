"""Functions of one int8 value as tables of 256 values, and what is one although it is spelt with several operators."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import format as fmt
from .._runtime import Runtime
from .graph import Graph, Node, Quant, Value
from .lower import lower
from .rewrite import Index, add_constant, first_input, first_output

Table = NDArray[np.int8]

_OPERANDS = {"lut": 1, "cast": 1, "binary": 2}  # of operators that can be part of such a function

IDENTITY: Table = np.arange(-128, 128).astype(np.int8)


def table(function: tuple[str, float, float], x: Quant, y: Quant) -> Table:
    """What the portable kernels make of each of the 256 integers, from -128 on."""
    graph = Graph()
    for name, dtype, quant in (("x", "int8", x), ("real", "float32", None), ("result", "float32", None), ("y", "int8", y)):
        graph.values[name] = Value(name, IDENTITY.shape, dtype, quant=quant)
    graph.nodes = [Node("cast", ["x"], ["real"]), Node("unary", ["real"], ["result"], {"function": function})]
    graph.nodes.append(Node("cast", ["result"], ["y"]))
    return _computed(graph, {"x": IDENTITY})


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


def _computed(graph: Graph, inputs: dict[str, Table]) -> Table:
    """The value y of a graph."""
    graph.inputs, graph.outputs = list(inputs), ["y"]
    runtime = Runtime(fmt.write(lower(graph)[0]), kernels="portable")
    for tensor, array in zip(runtime.inputs, inputs.values(), strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return np.array(runtime.outputs[0], np.int8)
