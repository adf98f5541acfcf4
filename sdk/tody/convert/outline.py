"""The outline of a model that cannot be converted: its own operators and shapes, from which sizes are estimated."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import format as fmt
from .graph import Graph, Node, Value
from .operand import ELEMENTS


def activations(graph: Graph) -> set[str]:
    """The values that are no constants."""
    return {*graph.inputs, *(name for node in graph.nodes for name in node.outputs if name is not None)}


def outline(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Graph, int, int]:
    """A graph of an ONNX model's own operators, good for planning memory only.

    Returns:
        The graph, how many tensors it leaves out because onnx cannot tell their shapes, and its multiplications with addition.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for info in fixed.graph.input:
        dims = info.type.tensor_type.shape.dim
        for i, dim in enumerate(dims):
            dim.dim_value = shapes[info.name][i] if info.name in shapes else dim.dim_value or 1
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    graph = Graph()
    for info in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = info.type.tensor_type
        if kind.HasField("shape"):
            add(graph, info.name, tuple(d.dim_value for d in kind.shape.dim), ELEMENTS.get(kind.elem_type, ""))
    for tensor in inferred.graph.initializer:
        add(graph, tensor.name, tuple(tensor.dims), ELEMENTS.get(tensor.data_type, ""))
    weights = {tensor.name for tensor in inferred.graph.initializer}
    graph.inputs = [info.name for info in inferred.graph.input if info.name in graph.values and info.name not in weights]
    for node in inferred.graph.node:
        outputs: list[str | None] = [name for name in node.output if name in graph.values]
        if outputs:
            inputs: list[str | None] = [name for name in node.input if name in graph.values]
            graph.nodes.append(Node(node.op_type, inputs, outputs, source=node.name))
    graph.outputs = [info.name for info in inferred.graph.output if info.name in activations(graph)]
    made = sum(1 for node in inferred.graph.node for name in node.output if name)
    return graph, made - sum(len(node.outputs) for node in graph.nodes), _macs(graph)


def add(graph: Graph, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Add a value to an outline, if a device could hold it."""
    if dtype in fmt.DTYPES and all(n > 0 for n in shape):
        graph.values[name] = Value(name, shape, dtype)


def _macs(graph: Graph) -> int:
    """Multiplications with addition of the source's convolutions and matrix products."""
    total = 0
    for node in graph.nodes:
        if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul") and len(node.inputs) > 1:
            x, w = (graph.values[name].shape for name in node.inputs[:2] if name is not None)
            y = graph.values[node.outputs[0] or ""].shape
            total += _cost(node.op, x, w, y)
    return total


def _cost(op: str, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...]) -> int:
    if op == "Conv":
        return math.prod(y) * math.prod(w[1:])
    if op == "ConvTranspose":
        return math.prod(x) * math.prod(w[1:])
    return math.prod(y) * math.prod(x[-1:])
