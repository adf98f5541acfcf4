"""What converting a model would give, without writing anything: coverage, memory, size."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import format as fmt
from ..errors import UnsupportedError
from . import report
from .graph import Graph, Node, Value
from .lower import lower
from .onnx import import_onnx
from .operand import ELEMENTS
from .optimise import optimise
from .plan import plan
from .report import macs
from .simplify import count
from .source import Source, read_source
from .verify import Array


@dataclass
class CheckReport:
    """What a model would become.

    Attributes:
        name: of the model.
        supported: whether it can be converted.
        ops_before: the source's operators, how many of each.
        ops_after: the primitives that would be left; empty when it cannot be converted.
        unsupported: the offending nodes, as `UnsupportedError.nodes`.
        macs, weight_bytes, arena_bytes, file_bytes: as in `ConvertReport`.
        estimated: whether the sizes are estimates from the source's own shapes, because it cannot be converted.
        notes: what was assumed.
    """

    name: str
    supported: bool
    ops_before: dict[str, int]
    ops_after: dict[str, int] = field(default_factory=dict)
    unsupported: list[dict[str, object]] = field(default_factory=list)
    macs: int = 0
    weight_bytes: int = 0
    arena_bytes: int = 0
    file_bytes: int = 0
    estimated: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Share of the source's nodes that can be converted."""
        total = sum(self.ops_before.values())
        return 1.0 - len(self.unsupported) / total if total else 1.0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**vars(self), "coverage": self.coverage}

    def __str__(self) -> str:
        about = "about " if self.estimated else ""
        total = sum(self.ops_before.values())
        rows = [
            ("model", self.name),
            ("operators", f"{total - len(self.unsupported)} of {total} supported"),
            ("primitives", f"{sum(self.ops_after.values())}" if self.supported else "none"),
            ("multiply-adds", f"{about}{self.macs / 1e6:,.1f} million"),
            ("weights", about + report.size(self.weight_bytes)),
            ("file", about + report.size(self.file_bytes)),
            ("memory", about + report.size(self.arena_bytes)),
            *(("unsupported", f"{n['operator']} ({n['name']}): {n['why']}; {n['hint']}") for n in self.unsupported),
            *(("note", note) for note in self.notes),
        ]
        return report.table(rows)


def check(
    model: str | os.PathLike[str] | Any,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> CheckReport:
    """What converting a model would give.

    Args:
        model: path of an `.onnx` file, or an onnx.ModelProto.
        shapes, constants: as for `convert`.

    Raises:
        UsageError: there is no such file, or a shape is missing.
        ModelError: the source is damaged.
        UnsupportedError: its opset is not one that tody reads.
    """
    source = read_source(model)
    sizes = {k: tuple(v) for k, v in (shapes or {}).items()}
    try:
        graph = import_onnx(source.model, sizes, constants)
    except UnsupportedError as e:
        if not e.nodes:
            raise
        return _estimate(source, sizes, e.nodes)
    optimise(graph)
    file, where = lower(graph)
    return CheckReport(
        name=source.name,
        supported=True,
        ops_before=source.ops,
        ops_after=count(graph),
        macs=macs(graph),
        weight_bytes=len(file.weights),
        arena_bytes=where.arena_bytes,
        file_bytes=len(fmt.write(file)),
        notes=list(graph.notes),
    )


def _estimate(source: Source, shapes: Mapping[str, tuple[int, ...]], nodes: list[dict[str, object]]) -> CheckReport:
    """Sizes of a model that cannot be converted, from the shapes that ONNX infers for it."""
    graph, unknown = _outline(source.model, shapes)
    weights = sum(fmt.tensor_bytes(v.dtype, v.shape) for v in graph.values.values() if v.name not in _activations(graph))
    notes = [f"the sizes leave out {unknown} tensors whose shape ONNX cannot tell"] if unknown else []
    return CheckReport(
        name=source.name,
        supported=False,
        ops_before=source.ops,
        unsupported=nodes,
        macs=_source_macs(graph),
        weight_bytes=weights,
        arena_bytes=plan(graph).arena_bytes,
        file_bytes=weights + 256 * len(graph.nodes),
        estimated=True,
        notes=notes,
    )


def _activations(graph: Graph) -> set[str]:
    return {*graph.inputs, *(name for node in graph.nodes for name in node.outputs if name is not None)}


def _outline(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Graph, int]:
    """A graph of the source's own operators, good for planning memory only, and how many tensors it leaves out."""
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
            _outline_value(graph, info.name, tuple(d.dim_value for d in kind.shape.dim), kind.elem_type)
    for tensor in inferred.graph.initializer:
        _outline_value(graph, tensor.name, tuple(tensor.dims), tensor.data_type)
    weights = {tensor.name for tensor in inferred.graph.initializer}
    graph.inputs = [info.name for info in inferred.graph.input if info.name in graph.values and info.name not in weights]
    for node in inferred.graph.node:
        outputs: list[str | None] = [name for name in node.output if name in graph.values]
        if outputs:
            inputs: list[str | None] = [name for name in node.input if name in graph.values]
            graph.nodes.append(Node(node.op_type, inputs, outputs, source=node.name))
    graph.outputs = [info.name for info in inferred.graph.output if info.name in _activations(graph)]
    made = sum(1 for node in inferred.graph.node for name in node.output if name)
    return graph, made - sum(len(node.outputs) for node in graph.nodes)


def _outline_value(graph: Graph, name: str, shape: tuple[int, ...], element: int) -> None:
    dtype = ELEMENTS.get(element, "")
    if dtype in fmt.DTYPES and all(n > 0 for n in shape):
        graph.values[name] = Value(name, shape, dtype)


def _source_macs(graph: Graph) -> int:
    """Multiplications with addition of the source's convolutions and matrix products."""
    total = 0
    for node in graph.nodes:
        if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul") and len(node.inputs) > 1:
            x, w = (graph.values[name].shape for name in node.inputs[:2] if name is not None)
            y = graph.values[node.outputs[0] or ""].shape
            total += _source_cost(node.op, x, w, y)
    return total


def _source_cost(op: str, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...]) -> int:
    if op == "Conv":
        return math.prod(y) * math.prod(w[1:])
    if op == "ConvTranspose":
        return math.prod(x) * math.prod(w[1:])
    return math.prod(y) * math.prod(x[-1:])
