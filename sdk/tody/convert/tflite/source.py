"""A TFLite model as a source of conversions, and LiteRT as the judge of what it computes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
import math
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ... import format as fmt
from ..._runtime import Runtime
from ...errors import AccuracyError
from ..ending import check_ends
from ..graph import Graph, Node
from ..integers import fold_weights
from ..lower import lower
from ..noise import nudged
from ..outline import activations, add
from ..source import TOLERANCE, Shapes, Source
from ..verify import Array
from .call import is_quantised
from .detection import OPERATOR, before_detection
from .file import MAGIC, Operator, TfliteModel, read_tflite
from .walk import import_tflite, port_of

_RUNTIMES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))
_MAX_LABELS = 1 << 20  # bytes
_DYNAMIC_TOLERANCE = 0.05


__all__ = ["MAGIC", "TfliteSource", "read_tflite_source"]


class TfliteSource(Source):
    """A TFLite model; `model` is a TfliteModel that ends before its post-processing, if it has one."""

    model: TfliteModel

    def __init__(self, model: TfliteModel, name: str, file: str, sha256: str) -> None:
        model, self._ending = before_detection(model)
        super().__init__(model, name, file, sha256)

    @property
    def ops(self) -> dict[str, int]:
        return dict(sorted(Counter(operator.op for operator in self.model.operators).items()))

    @property
    def opset(self) -> int:
        return self.model.version

    @property
    def producer(self) -> str:
        return self.model.description

    @property
    def inputs(self) -> dict[str, list[int]]:
        declared = [port_of(self.model.tensors[i]) for i in self.model.inputs]
        return {port.name: [n if isinstance(n, int) else 0 for n in port.shape or ()] for port in declared}

    @property
    def outputs(self) -> list[str]:
        return [self.model.tensors[i].name for i in self.model.outputs]

    @property
    def labels(self) -> list[str]:
        """From a file of labels in the archive that TFLite's metadata tools append to the model."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.model.content)) as archive:
                for entry in archive.infolist():
                    if "label" in entry.filename and entry.filename.endswith(".txt") and entry.file_size <= _MAX_LABELS:
                        return [line.strip() for line in archive.read(entry).decode().splitlines() if line.strip()]
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
            pass  # most files have no archive behind them; a damaged one is as good as none
        return []

    @property
    def decoder(self) -> dict[str, Any] | None:
        if self._ending is None:
            return None
        return {**self._ending.decoder, "outputs": [self.model.tensors[i].name for i in self._ending.outputs]}

    @property
    def thresholds(self) -> dict[str, float]:
        return self._ending.thresholds if self._ending else {}

    @property
    def tolerance(self) -> float:
        """More for models of which LiteRT rounds activations to 8 bits as it runs, where we compute in float32."""
        return _DYNAMIC_TOLERANCE if any(map(self._rounds_as_it_runs, self.model.operators)) else TOLERANCE

    @property
    def judge(self) -> str:
        return _RUNTIMES[0][1]

    def _rounds_as_it_runs(self, operator: Operator) -> bool:
        """Whether float activations meet weights of 8 bits or less."""
        tensors = [self.model.tensors[i] for i in operator.inputs if i >= 0]
        has_weights = any(t.dtype == "int8" and t.data is not None and t.scale is not None for t in tensors)
        return operator.op != "DEQUANTIZE" and has_weights and any(t.dtype == "float32" and t.data is None for t in tensors)

    def graph(self, shapes: Shapes | None = None, constants: Mapping[str, Array] | None = None) -> Graph:
        graph = import_tflite(self.model, shapes, constants)
        if self._ending is not None:
            graph.notes.append(f"{OPERATOR} is left out: the decoder {self._ending.decoder['name']} does it after the model")
        return graph

    def reference(self, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
        """By LiteRT, or tflite-runtime; where neither is installed, or the model ends before what they cannot do, by our own
        runtime, operator by operator in float32."""
        reason = "ai-edge-litert is not installed"
        for module, package in _RUNTIMES:
            try:
                interpreter = import_module(module).Interpreter
            except ImportError:
                continue
            try:
                results = _interpret(interpreter, self.model, arrays)
            except (RuntimeError, ValueError) as e:
                if self.model.real:
                    reason = f"{package} cannot run the source"
                    break
                what = "the conversion cannot be checked: the source model does not run"
                raise AccuracyError(what, " ".join(str(e).split()), "--no-verify converts it unchecked") from e
            return [results[name] for name in outputs], f"{package} {metadata.version(package)}"
        return _own(self, arrays, outputs), f"tody, not optimised ({reason})"

    def ended(self, ends: Sequence[str]) -> Source:
        made = {self.model.tensors[i].name: i for operator in self.model.operators for i in operator.outputs}
        check_ends(ends, made)
        outputs = tuple(dict.fromkeys(made[name] for name in ends))
        return TfliteSource(replace(self.model, outputs=outputs, real=frozenset(outputs)), self.name, self.file, self.sha256)

    def nudged(self, seed: int) -> Source:
        """Of quantised weights the integers stay, so only float models move."""
        content = bytearray(self.model.content)
        for tensor in self.model.tensors:
            if tensor.data is not None and tensor.dtype in ("float32", "float16") and tensor.data.ndim >= 2:
                at = _place(tensor.data, self.model.content)
                if 0 <= at < len(content):  # not one that was written out anew
                    content[at : at + tensor.data.nbytes] = nudged(tensor.data, seed).tobytes()
        model = replace(read_tflite(bytes(content), self.file), outputs=self.model.outputs, real=self.model.real)
        return TfliteSource(model, self.name, self.file, self.sha256)

    def outline(self, shapes: Shapes) -> tuple[Graph, int, int]:
        """By the shapes that the file declares, whatever shapes are asked for."""
        graph, tensors = Graph(), self.model.tensors
        for tensor in tensors:
            add(graph, tensor.name, tensor.shape, tensor.dtype)
        graph.inputs = [name for name in self.inputs if name in graph.values]
        for operator in self.model.operators:
            outputs = [n for i in operator.outputs if (n := tensors[i].name) in graph.values]
            inputs = [n for i in operator.inputs if i >= 0 and (n := tensors[i].name) in graph.values]
            if outputs:
                graph.nodes.append(Node(operator.op, list(inputs), list(outputs)))
        graph.outputs = [name for name in self.outputs if name in activations(graph)]
        made = sum(len(operator.outputs) for operator in self.model.operators)
        return graph, made - sum(len(node.outputs) for node in graph.nodes), _macs(self.model)


def _interpret(interpreter: Any, model: TfliteModel, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name."""
    kept = {"experimental_preserve_all_tensors": True} if model.real else {}  # they are no outputs there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that keeping takes
        run = interpreter(model_content=model.content, num_threads=1, **kept)
    entries = [(entry, model.tensors[i].name) for i, entry in zip(model.inputs, run.get_input_details(), strict=True)]
    for entry, name in entries:
        if tuple(entry["shape"]) != arrays[name].shape:
            run.resize_tensor_input(entry["index"], arrays[name].shape)
    run.allocate_tensors()
    for entry, name in entries:
        run.set_tensor(entry["index"], np.asarray(arrays[name], order="C"))
    run.invoke()
    return {model.tensors[i].name: _given(model, i, np.array(run.get_tensor(i))) for i in model.outputs}


def _given(model: TfliteModel, index: int, array: Array) -> Array:
    """An output as the conversion gives it."""
    tensor = model.tensors[index]
    if index not in model.real or not is_quantised(tensor):
        return array
    assert tensor.scale is not None
    return np.asarray((array.astype(np.float64) - tensor.scale.zero_points[0]) * tensor.scale.scales[0], np.float32)


def _own(source: TfliteSource, arrays: Mapping[str, Array], outputs: list[str]) -> list[Array]:
    """What the imported graph computes as it is, with the portable kernels."""
    graph = source.graph({name: array.shape for name, array in arrays.items()})
    fold_weights(graph)
    runtime = Runtime(fmt.write(lower(graph)[0]), kernels="portable")
    for name, tensor in zip(graph.inputs, runtime.inputs, strict=True):
        np.asarray(tensor)[...] = arrays[name]
    runtime.run()
    found = {name: np.array(tensor) for name, tensor in zip(source.outputs, runtime.outputs, strict=True)}
    return [found[name] for name in outputs]


def _place(data: Array, content: bytes) -> int:
    """Where in the file a constant stands that is a view of it."""
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    return int(data.__array_interface__["data"][0]) - int(start)


def _macs(model: TfliteModel) -> int:
    """Multiplications with addition of the model's convolutions and matrix products, by the declared shapes."""
    total = 0
    for operator in model.operators:
        shapes = [model.tensors[i].shape if i >= 0 else () for i in operator.inputs]
        made = math.prod(model.tensors[operator.outputs[0]].shape) if operator.outputs else 0
        if operator.op in ("CONV_2D", "FULLY_CONNECTED") and len(shapes) > 1:
            total += made * math.prod(shapes[1][1:])
        elif operator.op == "DEPTHWISE_CONV_2D" and len(shapes) > 1:
            total += made * math.prod(shapes[1][1:3])
        elif operator.op == "TRANSPOSE_CONV" and len(shapes) > 2:
            total += math.prod(shapes[2]) * math.prod(shapes[1][:3])
        elif operator.op == "BATCH_MATMUL" and shapes:
            total += made * math.prod(shapes[0][-1:])
    return total


def read_tflite_source(content: bytes, file: str) -> TfliteSource:
    """A source from the bytes of a file.

    Raises:
        ModelError: as `read_tflite`.
    """
    name = file.rsplit(".", 1)[0] or "model"
    return TfliteSource(read_tflite(content, file or "the model"), name, file, hashlib.sha256(content).hexdigest())
