"""The model that is to be converted, and what is known about it before. A format of models is a subclass of `Source`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .ending import end_onnx
from .graph import Graph
from .noise import nudged_model
from .onnx import import_onnx, load_onnx
from .outline import outline
from .reading import read_file
from .verify import Array, Reference

TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2
Shapes = Mapping[str, tuple[int, ...]]


class Source(ABC):
    """A source model.

    Attributes:
        model: as its format's reader gives it.
        name: file name without its ending.
        file: file name; empty for a model that came as an object.
        sha256: of the file, or of the object's bytes.
    """

    def __init__(self, model: Any, name: str, file: str, sha256: str) -> None:
        self.model, self.name, self.file, self.sha256 = model, name, file, sha256

    @property
    @abstractmethod
    def ops(self) -> dict[str, int]:
        """How many nodes of each operator."""

    @property
    @abstractmethod
    def opset(self) -> int:
        """Version of the format's operators."""

    @property
    @abstractmethod
    def producer(self) -> str:
        """What wrote the model; empty if it does not say."""

    @property
    @abstractmethod
    def inputs(self) -> dict[str, list[int]]:
        """The declared shape of each input, 0 where a dimension is open."""

    @property
    @abstractmethod
    def outputs(self) -> list[str]:
        """Names of the outputs, each once."""

    @property
    def labels(self) -> list[str]:
        """Names of the classes, where the model has them; empty if it has none that can be read."""
        return []

    @property
    def decoder(self) -> dict[str, Any] | None:
        """How boxes are read from the outputs, as in the metadata, where the model itself says it."""
        return None

    @property
    def thresholds(self) -> dict[str, float]:
        """`score` and `iou` of detection, where the model itself says them."""
        return {}

    @property
    @abstractmethod
    def tolerance(self) -> float:
        """How far results may usually be from the source's, relative to an output's range."""

    @property
    @abstractmethod
    def judge(self) -> str:
        """The Python package that runs the source as it is meant."""

    @abstractmethod
    def graph(self, shapes: Shapes | None = None, constants: Mapping[str, Array] | None = None) -> Graph:
        """The model in our primitive operators, as `import_onnx`, with the same errors."""

    @abstractmethod
    def reference(self, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
        """What the source itself computes, and who computed it, as `verify.Reference.run`, with the same errors."""

    @abstractmethod
    def ended(self, ends: Sequence[str]) -> Source:
        """The model with other tensors of its own as outputs.

        Raises:
            UsageError: it computes no such tensor.
        """

    @abstractmethod
    def nudged(self, seed: int) -> Source:
        """The same model with its weights off by rounding, for `noise.noise`."""

    @abstractmethod
    def outline(self, shapes: Shapes) -> tuple[Graph, int, int]:
        """A graph for estimates, how many tensors it leaves out, and its multiplications, as `outline.outline`."""


class OnnxSource(Source):
    """An ONNX model; `model` is onnx.ModelProto."""

    def __init__(self, model: Any, name: str, file: str, sha256: str) -> None:
        super().__init__(model, name, file, sha256)
        self._reference = Reference(model)

    @property
    def ops(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for node in self.model.graph.node:
            found[node.op_type] = found.get(node.op_type, 0) + 1
        return dict(sorted(found.items()))

    @property
    def opset(self) -> int:
        return next((int(o.version) for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 0)

    @property
    def producer(self) -> str:
        return str(self.model.producer_name)

    @property
    def inputs(self) -> dict[str, list[int]]:
        weights = {tensor.name for tensor in self.model.graph.initializer}
        infos = (i for i in self.model.graph.input if i.name not in weights)
        return {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in infos}

    @property
    def outputs(self) -> list[str]:
        return list(dict.fromkeys(info.name for info in self.model.graph.output))

    @property
    def labels(self) -> list[str]:
        """From the model's metadata: Ultralytics writes `names`, a dictionary by number or a list; RapidAI writes `character`,
        one a line."""
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
    def tolerance(self) -> float:
        """More for models that compute in float16."""
        return HALF_TOLERANCE if any(tensor.data_type == 10 for tensor in self.model.graph.initializer) else TOLERANCE

    @property
    def judge(self) -> str:
        return "onnxruntime"

    def graph(self, shapes: Shapes | None = None, constants: Mapping[str, Array] | None = None) -> Graph:
        return import_onnx(self.model, shapes, constants)

    def reference(self, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
        return self._reference.run(arrays, outputs)

    def ended(self, ends: Sequence[str]) -> Source:
        return OnnxSource(end_onnx(self.model, ends), self.name, self.file, self.sha256)

    def nudged(self, seed: int) -> Source:
        return OnnxSource(nudged_model(self.model, seed), self.name, self.file, self.sha256)

    def outline(self, shapes: Shapes) -> tuple[Graph, int, int]:
        return outline(self.model, shapes)


def read_source(model: str | os.PathLike[str] | Any, end: Sequence[str] = ()) -> Source:
    """A source from a path, an onnx.ModelProto, or the bytes of a TFLite file.

    Args:
        end: tensors that become the outputs, in place of the model's own.

    Raises:
        UsageError: there is no such file, or the model computes no such tensor.
        ModelError: it is of another kind, damaged, or too large.
        MissingExtraError: what reads it is not installed.
    """
    source = _read(model)
    return source.ended(end) if end else source


def _read(model: str | os.PathLike[str] | Any) -> Source:
    from .tflite.source import MAGIC, read_tflite_source

    if isinstance(model, bytes):
        return read_tflite_source(model, "")
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        content = read_file(path)
        if content[4:8] == MAGIC or path.suffix == ".tflite":
            return read_tflite_source(content, path.name)
        proto = load_onnx(path)
        return OnnxSource(proto, path.stem, path.name, hashlib.sha256(content).hexdigest())
    content = model.SerializeToString(deterministic=True)
    return OnnxSource(model, model.graph.name or "model", "", hashlib.sha256(content).hexdigest())
