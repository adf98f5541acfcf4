"""The graph's outputs: under the model's names, in its dtypes, each in memory of its own."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..format import DTYPES
from .builder import Builder
from .casts import to_uint8
from .graph import Graph, Value
from .operand import Operand, strides_of


def outlet(builder: Builder, x: Operand, name: str) -> None:
    """Make an operand the next output of the graph. A node is added where a dtype changes or memory must not be shared."""
    graph = builder.graph
    if x.dtype not in DTYPES:
        why = f"devices have {', '.join(DTYPES)} at their borders"
        raise UnsupportedError(f"output {name} has the dtype {x.dtype}", why, "export the model with another output dtype")
    builder.source, builder.hint = "", name
    if 0 in x.shape:
        raise UnsupportedError(f"output {name} has the shape {list(x.shape)}", "it holds nothing", "leave the output out")
    if x.data is not None:
        held = _constant(builder, x)
    elif x.raw and graph.values[x.raw].dtype == x.dtype:
        held = x.raw
    elif x.raw and x.dtype == "uint8" and graph.values[x.raw].quant is not None:
        held = to_uint8(builder, Operand(x.shape, "int8", x.raw)).name
    else:
        held = builder.value(x)
    if graph.values[held].dtype != x.dtype:
        held = _added(builder, "cast", held, x, name)
    if not _own(graph, held):
        held = _added(builder, "copy", held, x, name, {"offset": 0, "stride": strides_of(x.shape)})
    graph.outputs.append(held)


def _added(builder: Builder, op: str, held: str, x: Operand, name: str, attrs: dict[str, Any] | None = None) -> str:
    """The value of one more node, in the dtype of the source model."""
    made = builder.fresh(f"{name}:out")
    builder.graph.values[made] = Value(made, x.shape, x.dtype)
    builder.append(op, [held], [made], attrs)
    return made


def _constant(builder: Builder, x: Operand) -> str:
    assert x.data is not None
    builder.claim(x.shape)
    name = builder.fresh(f"{builder.hint}:constant")
    builder.graph.values[name] = Value(name, x.shape, x.dtype, x.data.astype(DTYPES[x.dtype][1], copy=False))
    return name


def _own(graph: Graph, name: str) -> bool:
    """Is the value made by a node, in memory that is no input, no constant and no other output?"""
    producer = graph.producer()
    roots = set()
    for start in (name, *graph.outputs):
        at = start
        while at in producer and producer[at].op == "reshape":
            at = str(producer[at].inputs[0])
        if at in roots or at not in producer:
            return False
        roots.add(at)
    return True


def settle_names(graph: Graph, names: list[str]) -> None:
    """Give the values of the outputs the outputs' names, but for an output that is called like an input."""
    names = [made if name in graph.inputs else name for made, name in zip(graph.outputs, names, strict=True)]
    renamed = dict(zip(graph.outputs, names, strict=True))
    for node in graph.nodes:
        node.inputs = [renamed.get(n, n) if n else n for n in node.inputs]
        node.outputs = [renamed.get(n, n) if n else n for n in node.outputs]
    values = {renamed.get(name, name): value for name, value in graph.values.items()}
    for name, value in values.items():
        value.name = name
    graph.values, graph.outputs = values, list(names)
