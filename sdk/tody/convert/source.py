"""The model that is to be converted, and what is known about it before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .onnx import load_onnx


@dataclass(frozen=True)
class Source:
    """A source model.

    Attributes:
        model: onnx.ModelProto.
        name: file name without its ending.
        file: file name; empty for a model that came as an object.
        sha256: of the file, or of the object's bytes.
    """

    model: Any
    name: str
    file: str
    sha256: str

    @property
    def ops(self) -> dict[str, int]:
        """How many nodes of each operator."""
        found: dict[str, int] = {}
        for node in self.model.graph.node:
            found[node.op_type] = found.get(node.op_type, 0) + 1
        return dict(sorted(found.items()))

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators."""
        return next((int(o.version) for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 0)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, where the model's own metadata has them; empty if it has none that can be read.

        Ultralytics writes `names`, a dictionary by number or a list; RapidAI writes `character`, one a line.
        """
        entries = {entry.key: entry.value for entry in self.model.metadata_props}
        if "names" not in entries:
            return str(entries.get("character", "")).splitlines()
        try:
            names = ast.literal_eval(entries["names"])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return []
        if isinstance(names, dict):
            names = [names.get(i) for i in range(len(names))]
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return names if whole else []

    @property
    def is_half(self) -> bool:
        """Whether the model computes in float16."""
        return any(tensor.data_type == 10 for tensor in self.model.graph.initializer)


def read_source(model: str | os.PathLike[str] | Any) -> Source:
    """A source from a path or an onnx.ModelProto.

    Raises:
        UsageError, ModelError, UnsupportedError, MissingExtraError: as `load_onnx`.
    """
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        proto = load_onnx(path)
        return Source(proto, path.stem, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    content = model.SerializeToString(deterministic=True)
    return Source(model, model.graph.name or "model", "", hashlib.sha256(content).hexdigest())
