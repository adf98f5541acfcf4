"""What converting a model would give, without writing anything: coverage, memory, size."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import format as fmt
from ..errors import UnsupportedError
from . import report
from .integers import to_needed_integers
from .memory import lower_into
from .optimise import optimise
from .outline import activations
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
    end: Sequence[str] = (),
    constants: Mapping[str, Array] | None = None,
) -> CheckReport:
    """What converting a model would give.

    Args:
        model: path of an `.onnx` or `.tflite` file, or an onnx.ModelProto.
        shapes, end, constants: as for `convert`.

    Raises:
        UsageError: there is no such file, or a shape is missing.
        ModelError: the source is damaged.
        UnsupportedError: its opset is not one that tody reads.
    """
    source = read_source(model, end)
    sizes = {k: tuple(v) for k, v in (shapes or {}).items()}
    try:
        graph = source.graph(sizes, constants)
    except UnsupportedError as e:
        if not e.nodes:
            raise
        return _estimate(source, sizes, e.nodes)
    optimise(graph)
    to_needed_integers(graph)
    file, where = lower_into(graph, None)
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
    """Sizes of a model that cannot be converted, from the shapes that it tells."""
    graph, unknown, total = source.outline(shapes)
    made = activations(graph)
    weights = sum(fmt.tensor_bytes(v.dtype, v.shape) for v in graph.values.values() if v.name not in made)
    notes = [f"the sizes leave out {unknown} tensors whose shape ONNX cannot tell"] if unknown else []
    return CheckReport(
        name=source.name,
        supported=False,
        ops_before=source.ops,
        unsupported=nodes,
        macs=total,
        weight_bytes=weights,
        arena_bytes=plan(graph).arena_bytes,
        file_bytes=weights + 256 * len(graph.nodes),
        estimated=True,
        notes=notes,
    )
